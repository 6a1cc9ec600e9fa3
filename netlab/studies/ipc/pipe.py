"""A pipe: one way, and only within the family."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import told
from netlab.studies.family import ended, forked
from netlab.studies.quantity import Kind
from netlab.studies.sockets import trial
from netlab.studies.study import Claim, Expect, Params, Study, Topic

WORD = b"from the parent"
# What a stranger says of a descriptor that is only a number to it.
STRANGER = """\
import os, sys
try:
    os.write(int(sys.argv[1]), b"x")
except OSError as error:
    sys.exit(error.errno)
"""


def client(probe: Probe, p: Params) -> Any:
    """Makes a pipe; a child, and a program that was executed anew, are to use it."""
    reader, writer = probe.pipe()
    found = {"into the reading end": trial(reader.write, b"x")["error"],
             "out of the writing end": trial(writer.read, 1)["error"]}  # fmt: skip

    def child() -> int:
        poll = probe.poll()
        poll.register(reader.fileno())
        poll.poll(5000)
        return len(reader.read(100))

    pid = forked(probe, "child", child)
    writer.write(WORD)
    found["child"] = ended(pid)
    command = [sys.executable, "-I", "-S", "-c", STRANGER, str(writer.fileno())]
    for name, given in (("stranger", ()), ("heir", (writer.fileno(),))):
        found[name] = subprocess.run(command, pass_fds=given, check=False).returncode
    writer.close()
    found["heir's word"] = len(reader.read(100))
    found["the end"] = len(reader.read(100))
    reader.close()
    return found


STUDY = Study(
    name="pipe",
    topic=Topic.IPC,
    question="A pipe: which way do bytes go in it, and who can have it?",
    setup="A process makes a pipe and tries both ends both ways. Then a forked child reads from "
    "it, and two programs that were executed anew write to it: one knows the number of the "
    "descriptor, the other was given the descriptor itself.",
    prediction="One way: each end does one thing, the other is EBADF. And only kin: a pipe has no "
    "name, so nobody can open it. A child has it since fork() copies the descriptors; a program "
    "that is executed has it if the descriptor was not close-on-exec. To all others the number is "
    "nothing: EBADF. For talk both ways make two pipes, or socketpair().",
    client=client,
    expects=(
        Expect("write() into the reading end", Kind.WORD, lambda p: "EBADF",
               told("into the reading end"),
               "man 7 pipe: unidirectional; man 2 write, EBADF"),
        Expect("read() out of the writing end", Kind.WORD, lambda p: "EBADF",
               told("out of the writing end"), "man 2 read, EBADF"),
        Expect("bytes that the child read", Kind.SIZE, lambda p: len(WORD),
               told("child"),
               "man 2 fork: the child inherits copies of the descriptors"),
        Expect("a stranger who knows the number", Kind.WORD, lambda p: "EBADF",
               lambda e: "EBADF" if told("stranger")(e) == errno.EBADF else "wrote",
               "man 2 open, O_CLOEXEC; man 2 execve"),
        Expect("bytes from the program that was given it", Kind.SIZE, lambda p: 1,
               told("heir's word"),
               "man 2 execve: descriptors remain open unless close-on-exec"),
        Expect("read() when all writers have closed", Kind.SIZE, lambda p: 0,
               told("the end"), "man 7 pipe: end-of-file"),
    ),
    claims=(
        Claim("A pipe is only for processes that are related.",
              lambda e: told("stranger")(e) == errno.EBADF and told("child")(e) == len(WORD),
              "for an anonymous one, whose descriptor is not passed on; a named pipe (mkfifo) is a "
              "file that any process may open, and a Unix socket passes descriptors"),
    ),
    next="`netlab study pipe-capacity`: how much is under way in it.",
)  # fmt: skip
