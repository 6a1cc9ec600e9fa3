"""Becomes a tcpdump on a host of a running lab: `host_tcpdump.py PID FILE`; not a test itself.

PID is a program on that host. The programs of a lab may not capture. This one goes in from outside,
as only the user who owns the lab may, and keeps of what it can do there the right to capture.
"""

from __future__ import annotations

import os
import shutil
import sys

from netlab.lab.syscalls import (
    CAP_NET_RAW,
    CLONE_NEWNET,
    CLONE_NEWUSER,
    give_up_privileges,
    setns,
)

if __name__ == "__main__":
    pid, path = sys.argv[1:]
    program = shutil.which("tcpdump", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    words = [program, "-i", "eth0", "-n", "-U", "--immediate-mode", "--time-stamp-precision=nano"]
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if os.geteuid() == 0:  # root's lab has no user namespace of its own
        words += ["-Z", "root"]  # else tcpdump becomes somebody who may not write here
        setns(network, CLONE_NEWNET)
    else:
        setns(os.open(f"/proc/{pid}/ns/user", os.O_RDONLY), CLONE_NEWUSER)
        setns(network, CLONE_NEWNET)
        give_up_privileges(keep=[CAP_NET_RAW])
    os.execv(program, [*words, "-w", path])
