"""The programs of a run: a server and its clients, each a process of its own in the lab.

Each gets its orders as JSON, calls sockets through the journal probe, and reports on the descriptor
NETLAB_REPORT_FD: `listening`, `messages`, `done`, `error`. Read `serving` for the server, `clients`
for the other end.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from netlab.lab.clients import CLIENTS, ClientOrders, Failed
from netlab.lab.report import Report
from netlab.lab.serving import ServeOrders, make_server, serve_reporting
from netlab.model.errors import UsageError
from netlab.model.probe import Probe

_KEPT: list[Probe] = []  # until the very end: the probe notes the process's exit, too


def main(arguments: list[str]) -> None:
    """Carry out the orders in `arguments[0]`; exit status 1 when they could not be."""
    reach_packages()
    orders: dict[str, Any] = json.loads(arguments[0])
    report = Report(int(os.environ["NETLAB_REPORT_FD"]))
    probe = watched_probe()
    _KEPT.append(probe)
    try:
        if orders.pop("role") == "client":
            client_orders = ClientOrders(**orders)
            client = CLIENTS[client_orders.scenario](client_orders, probe, report)
            client.heed_signals()
            client.run()
        else:
            server = make_server(ServeOrders.from_json(orders["orders"]), probe)
            sys.exit(serve_reporting(server, report))
    except Failed as failure:
        report.say(error=str(failure), errno=failure.errno)
        sys.exit(1)
    except UsageError as error:
        report.say(error=str(error), errno="EINVAL")
        sys.exit(1)


def reach_packages() -> None:
    """Of each package on the path, put the folder that it is imported from there as well.

    `python_arguments` gives the folder of the file of each that it was asked for: of a module the
    one that it is found in, of a package its own.
    """
    inside = [Path(place) for place in sys.path if (Path(place) / "__init__.py").is_file()]
    sys.path += dict.fromkeys(str(place.parent) for place in inside)


def server_orders(orders: ServeOrders) -> str:
    """The argument that makes this program a server."""
    return json.dumps({"role": "server", "orders": orders.as_json()})


def watched_probe() -> Probe:
    """The journal probe that the environment describes."""
    from netlab.capture.probe import JournalProbe

    return JournalProbe.from_environment()
