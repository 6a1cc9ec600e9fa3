"""What `netlab inspect` was asked -> the view, by the engine or by the general path.

Imports no click: the summary of a file is shown before it would have been.
"""

from __future__ import annotations

from netlab.commands.decode_as import rules
from netlab.commands.inspect.asked import Asked
from netlab.commands.watching import settled, watching
from netlab.correlate.releases import Release


def look(asked: Asked) -> None:
    """Show it. Raises UsageError for options that do not go together, and NetlabError."""
    asked.check()
    file = settled(asked.file)
    usual = asked.tshark_compat == Release.V4_0  # the kernels know no other
    if asked.is_overview and usual and not asked.decode_as:
        from netlab.commands.inspect import bulk

        if bulk.show(asked, file):
            return
    elif not asked.is_overview and usual:
        from netlab.commands.inspect import large

        if large.show(asked, file):
            return
    from netlab.capture.files import read_raw
    from netlab.commands.inspect import lists, messages, one_connection, one_packet
    from netlab.commands.main import note
    from netlab.explain.analysis import analyse
    from netlab.show.terminal.screen import paged

    told = rules(asked.decode_as)
    with watching() as progress:
        progress.step("reading")
        raw = read_raw(file)
        tables = analyse(raw, told, progress=progress, release=Release(asked.tshark_compat))
        progress.step("drawing")
        with paged():
            if asked.view == "messages":
                messages.show_list(tables, raw, asked)
            elif asked.message is not None:
                messages.show(tables, raw, asked, asked.message)
            elif asked.packet is not None:
                one_packet.show(tables, raw, asked, asked.packet)
            elif asked.connection is not None:
                one_connection.show(tables, raw, asked, asked.connection)
            else:
                lists.show(tables, raw, asked)
    if asked.where is not None:
        from netlab.show.chosen import not_there

        for text in not_there(tables, asked.table, asked.where):
            note(text)
    if asked.has_view:
        for fault in raw.faults:
            note(fault)
