"""What the lab and its wire say to each other survives the way."""

from __future__ import annotations

import json

from netlab.lab.wire.orders import Orders, Report, Side, orders_from, report_from


def test_orders_and_reports_survive_the_way() -> None:
    side = Side("server", "w1", "02:00:00:00:00:02", ("10.7.0.2", "fd00::2"), True)
    orders = Orders((side,), "delay 20ms; loss 1% seed 7", 1400, 1 << 24)
    assert orders_from(json.loads(json.dumps(orders.as_message()))) == orders
    report = Report(
        13, 1301, 2, 1, (("delay 20ms", 12),), (("reorder 1% by 3", 2),),
        (("server: its queue is full", 1),), 3, 0,
    )  # fmt: skip
    assert report_from(json.loads(json.dumps(report.as_message()))) == report
