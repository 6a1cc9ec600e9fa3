"""What a server reports of the processes it forks, and what becomes of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from netlab.lab.descendants import Descendants
from netlab.lab.report import Report, ReportReader


def deaths(found: Descendants) -> dict[int, str]:
    return {death.pid: death.how for death in found.deaths()}


def test_who_left_in_order_needs_no_words() -> None:
    found = Descendants("host")
    found.hear({"born": 2, "outer": 102})
    found.hear({"left": 2})
    found.hear({"died": 2, "how": "SIGKILL"})  # of somebody who had the pid before
    assert deaths(found) == {}


def test_who_died_is_known_by_the_pid_of_the_recording() -> None:
    found = Descendants("host")
    found.hear({"born": 2, "outer": 102})
    found.hear({"born": 3, "outer": 103})
    found.hear({"messages": 5})
    found.hear({"died": 2, "how": "SIGKILL"})
    found.died(104, -15)
    assert deaths(found) == {102: "SIGKILL", 104: "SIGTERM", 103: "unseen"}


def test_a_pid_that_is_used_again_is_somebody_else() -> None:
    found = Descendants("host")
    for outer, how in ((102, "SIGKILL"), (109, "status 3")):
        found.hear({"born": 2, "outer": outer})
        found.hear({"died": 2, "how": how})
    assert deaths(found) == {102: "SIGKILL", 109: "status 3"}


def test_whoever_stays_is_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        found = Descendants("host")
        found.hear({"born": child.pid, "outer": child.pid})
        found.hear({"born": 1 << 30, "outer": 1 << 30})  # gone already
        found.end(0.05)
        assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
    assert deaths(found)[child.pid] == "SIGKILL"


def test_reports_come_whole_and_their_end_is_noticed() -> None:
    read_end, write_end = os.pipe()
    reader = ReportReader(read_end)
    assert reader.read() == []
    Report(write_end).say(listening=7)
    os.write(write_end, b'{"messages": 1}\n{"mess')
    assert reader.read() == [{"listening": 7}, {"messages": 1}]
    os.write(write_end, b'ages": 2}\n')
    assert reader.read() == [{"messages": 2}]
    os.close(write_end)
    assert reader.read() == []
    assert reader.descriptor == -1
    assert reader.read() == []


def test_nobody_there_to_read_is_no_reason_to_stop() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    Report(write_end).say(done=json.dumps("x"))
    os.close(write_end)
