"""The kernel witness in a lab: opened while netlab is root, told which programs of it are wanted.

The lab's first process forks them, so that process is what the witness watches; each program is
named, or sent away, once the helper has told its pid. What the network does on the hosts is known
by their addresses, which no other lab on this machine has.
"""

from __future__ import annotations

from netlab.capture.kernel.witness import KernelWitness
from netlab.lab.network.plan import Plan
from netlab.model.errors import PrivilegeError

_ONLY = "run it as root, or record with --witness strace"


class KernelWatch:
    """What the kernel tells of one lab. Closing it removes all that was set up in the kernel."""

    def __init__(self, witness: KernelWitness) -> None:
        """Use `open`."""
        self.witness = witness

    @classmethod
    def open(cls, plan: Plan, helper: int) -> KernelWatch:
        """Watch the lab that has this plan and this helper process. Raises PrivilegeError."""
        hosts = {
            f"{interface.ip}": host.name
            for host in plan.hosts
            for interface in (host.ipv4, host.ipv6)
        }
        witness = KernelWitness.open(hosts=hosts)
        try:
            witness.nurse(_first_process(helper))
        except BaseException:
            witness.close()
            raise
        return cls(witness)

    def started(self, pid: int, host: str, actor: str, *, wanted: bool) -> None:
        """A program of the lab runs."""
        if wanted:
            self.witness.name(pid, host=host, actor=actor)
        else:
            self.witness.dismiss(pid)

    @property
    def words(self) -> str:
        """What it does and costs, for whoever reads the recording."""
        missing = ", ".join(self.witness.missing)
        without = f", without {missing}, which this kernel does not have" if missing else ""
        return (
            "the kernel's tracepoints (tracefs), of each command, with the states, segments, "
            f"resends, drops and resets of the hosts' TCP sockets{without}: a call of theirs took "
            "some 0.006 ms longer, any other on this machine 0.001 ms at most"
        )

    def close(self) -> None:
        self.witness.close()


def _first_process(helper: int) -> int:
    """The process of the helper's children that is the first of the lab's process namespace."""
    try:
        with open(f"/proc/{helper}/task/{helper}/children") as file:
            children = [int(word) for word in file.read().split()]
        for child in children:
            with open(f"/proc/{child}/status") as file:
                numbers = next(line for line in file if line.startswith("NSpid:")).split()
            if len(numbers) > 2 and numbers[-1] == "1":
                return child
    except (OSError, StopIteration):
        pass
    raise PrivilegeError("the kernel witness did not find the lab's first process", _ONLY)
