"""Findings about segments that were too big for the path.

Read first: RFC 1191, RFC 2923 2.1 (black holes); `too_big`, which knows them.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.explain.causes import MECHANISMS, Cause
from netlab.explain.findings.finding import Finding, Severity
from netlab.explain.scene import Scene
from netlab.explain.too_big import mtu_rule, sent_again, told_mtu
from netlab.explain.wording import counted
from netlab.model.tables import Connection, Packet

_CITED = 4
_LEARNT = (
    "That is path MTU discovery at work. To spare its first loss, clamp the MSS on the way (TCPMSS"
    " --clamp-mss-to-pmtu), or set TCP_MAXSEG."
)


def too_big(scene: Scene, row: Connection) -> Iterator[Finding]:
    """Segments that no link on the way takes, and whether their sender was told."""
    path = scene.path(row.connection)
    if path is None:
        return
    for direction, sender in path.senders.items():
        again = sent_again(path, sender)
        lost: dict[int, Packet] = {big.frame: scene.packets[big.frame] for big in again.values()}
        mtus = {big.mtu_bytes for big in again.values()}
        for one in sender.departed:
            rule = mtu_rule(one.packet)
            if rule is not None:
                lost[one.packet.frame] = one.packet
                mtus.add(rule[0])
        if not lost:
            continue
        told = [
            packet.frame for packet in scene.tables.packets
            if packet.connection == row.connection and told_mtu(packet) is not None
            and packet._quoted is not None and packet._quoted.src == next(iter(lost.values())).src
        ]  # fmt: skip
        largest = max(packet.ip_len_bytes or 0 for packet in lost.values())
        rules = {rule[1] for packet in lost.values() if (rule := mtu_rule(packet)) is not None}
        by = f" of the wire ({', '.join(sorted(rules))})" if rules else ""
        text = (
            f"{counted(len(lost), 'segment')} of the {direction.sender} did not pass the MTU{by}:"
            f" IP packets of up to {largest:,} bytes, where no more than {min(mtus):,} fit."
        )
        if told:
            text += f" ICMP said so (frame {told[0]})."
        else:
            text += (
                " No ICMP message said so: a black hole, in which small messages pass and large"
                " ones never come."
            )
        yield Finding(
            "path_mtu", row.connection, Severity.MEDIUM if told else Severity.HIGH, text,
            _LEARNT if told else MECHANISMS[Cause.PATH_MTU].advice,
            MECHANISMS[Cause.PATH_MTU].source,
            (*sorted(lost)[:_CITED], *told[:1], *sorted(again)[:_CITED]),
        )  # fmt: skip
