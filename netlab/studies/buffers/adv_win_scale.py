"""tcp_adv_win_scale: how much of a receive buffer is window, before Linux 6.6 and since."""

from __future__ import annotations

import os
import re

from netlab.studies.buffers.rcvbuf_doubling import SEGMENT, client, offered
from netlab.studies.evidence import Evidence
from netlab.studies.programs import reads_to_the_end
from netlab.studies.quantity import Kind
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic

MEASURES_SINCE = (6, 6)  # "tcp: get rid of sysctl_tcp_adv_win_scale"


def is_ignored() -> bool:
    """Whether this kernel takes no notice of the sysctl."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return found is not None and (int(found[1]), int(found[2])) >= MEASURES_SINCE


def window(p: Params) -> int:
    """Half of the doubled buffer; before 6.6 all but 1 / 2^scale of it. In whole segments."""
    space = 2 * p.rcvbuf
    share = space // 2 if is_ignored() else space - (space >> p.scale)
    return min(share // SEGMENT * SEGMENT, 65_535)


def is_half(evidence: Evidence) -> bool:
    """Whether the window is what scale 1 would make it, though the scale is another."""
    return offered(evidence) == evidence.p.rcvbuf // SEGMENT * SEGMENT


STUDY = Study(
    name="adv-win-scale",
    topic=Topic.BUFFERS,
    question="net.ipv4.tcp_adv_win_scale is {scale} at the server. How much of the receive "
    "buffer is offered as window?",
    setup="The server sets SO_RCVBUF to {rcvbuf} before listen(), which the kernel doubles. A "
    "client connects.",
    prediction="Books say: all but 1/2^{scale} of it, the rest is for the kernel's overhead. That "
    "was so up to Linux 6.5. Since 6.6 the sysctl is read by nobody: a connection begins with "
    "one half, and then measures how much of the memory of what arrives is data.",
    parameters=(
        Parameter("scale", Kind.COUNT, 2, 1, 4, "net.ipv4.tcp_adv_win_scale of the server"),
        Parameter("rcvbuf", Kind.SIZE, 16 << 10, 8 << 10, 32 << 10, "SO_RCVBUF of the server"),
    ),
    server=reads_to_the_end,
    client=client,
    sysctls=lambda p: {"server": {"net.ipv4.tcp_adv_win_scale": f"{p.scale}"}},
    expects=(
        Expect("the window in the SYN-ACK", Kind.SIZE, window, offered,
               "ip-sysctl of Linux: obsolete since 6.6; tcp_select_initial_window(): whole "
               "segments"),
    ),
    claims=(
        Claim("tcp_adv_win_scale decides how much of the receive buffer is window",
              lambda e: not is_half(e), "before Linux 6.6"),
    ),
    next="`netlab study window-scale`, `netlab study autotuning`.",
)  # fmt: skip
