"""The options of `netlab inspect`."""

from __future__ import annotations

from typing import Any

import click

from netlab.commands.inspect.asked import Asked
from netlab.commands.inspect.look import look
from netlab.commands.numbers import WholeNumber
from netlab.commands.options import decode_as_option, display_options, tshark_compat_option


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
    look(Asked(**given))
