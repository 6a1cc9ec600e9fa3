"""`netlab inspect FILE`: a recording or capture, from its summary down to one packet's fields.

Here are its options; `asked` has what was given and what may stand together, the other modules the
views: one function each, which draws the view or prints it as JSON.
"""

from __future__ import annotations

from typing import Any

import click

from netlab.commands.decode_as import decode_as_option, rules
from netlab.commands.inspect.asked import Asked
from netlab.commands.numbers import WholeNumber
from netlab.commands.options import display_options, tshark_compat_option
from netlab.commands.watching import settled, watching


@click.command("inspect")
@click.argument("file")
@click.option("--connections", "view", flag_value="connections", help="List the connections.")
@click.option("--packets", "view", flag_value="packets", help="List the packets.")
@click.option("--calls", "view", flag_value="calls", help="List the calls.")
@click.option("--messages", "view", flag_value="messages", help="List what applications said.")
@click.option("--message", metavar="M", type=int, help="Show one message's fields and bytes.")
@decode_as_option
@click.option(
    "--connection", "-c", metavar="N", help="Draw a connection's ladder: 3, tcp.0, udp.1."
)
@click.option("--packet", "-p", metavar="N", type=int, help="Show one packet's fields and bytes.")
@click.option("--deep", is_flag=True, help="With --packet: add what scapy makes of it.")
@click.option("--boxes", is_flag=True, help="With --packet: draw its headers as the RFCs do.")
@click.option("--field", metavar="NAME", help="With --packet: explain one field: `tcp.window`.")
@click.option(
    "--stream",
    type=click.Choice(["client", "server", "both"]),
    help="With --connection: what that side sent, with the frames that carried it.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["text", "hex", "c", "raw"]),
    help="With --stream: how; raw: the bytes alone.",
)
@click.option("--output", "-o", metavar="OUT", help="With --stream: write to a file.")
@click.option(
    "--states",
    is_flag=True,
    help="With --connection: what was sampled of its sockets: cwnd, bytes in flight, queues.",
)
@click.option(
    "--facts",
    is_flag=True,
    help="With --connection: what was measured: round trips, windows, rates, resends by kind.",
)
@click.option("--limit", metavar="N", type=WholeNumber(min=0), help="At most N rows; 0: all.")
@click.option(
    "--where",
    metavar="SQL",
    help="Only that of which it is true: `dport = 443 and retransmission`.",
)
@tshark_compat_option
@click.option("--json", "as_json", is_flag=True, help="Print the view as JSON.")
@display_options
def command(**given: Any) -> None:
    """Show what a recording or capture holds. FILE may be - for standard input.

    Without an option: a summary. A condition of --where names columns as `netlab query` has them:
    of `frames` for the summary, packets and streams, of `connections`, `calls`, `messages` and
    `states` for those, and of `frames` or `calls` for a ladder.
    """
    from netlab.correlate.releases import Release

    asked = Asked(**given)
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
