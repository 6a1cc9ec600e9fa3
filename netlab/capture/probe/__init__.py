"""The call journal of a watched process: its socket calls -> spools on disk -> call records."""

from netlab.capture.probe.probe import JournalProbe as JournalProbe
from netlab.capture.probe.spool import SpoolReader as SpoolReader
