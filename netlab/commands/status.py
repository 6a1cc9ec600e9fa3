"""`netlab status PORT`: what a running `netlab serve` of this user is doing."""

from __future__ import annotations

import click

from netlab.commands.numbers import WholeNumber


@click.command("status")
@click.argument("port", required=False, type=WholeNumber(0, 65535))
@click.option("--json", "as_json", is_flag=True, help="Print the page as JSON, a line a server.")
def command(port: int | None, as_json: bool) -> int:
    """Say what the server at PORT is doing; without PORT, all servers of yours.

    A server at Unix sockets only has the port 0. The same page comes into the server's log when it
    gets the signal URG: kill -URG PID.
    """
    from netlab.server.pages.status import page_lines
    from netlab.server.pages.status_door import ask, ask_all
    from netlab.show.escape import printable

    pages = [ask(port)] if port is not None else ask_all()
    if not pages:
        click.echo("no server of yours is running")
    for number, page in enumerate(pages):
        if as_json:
            click.echo(page.as_json())
            continue
        if number:
            click.echo()
        for line in page_lines(page):
            click.echo(printable(line))
    return 0
