"""kill -9: what the other side sees."""

from __future__ import annotations

import os
import signal
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.moments import call_on, window
from netlab.studies.parts import RTT, delay
from netlab.studies.programs import until_the_client_has_ended
from netlab.studies.quantity import Kind
from netlab.studies.sockets import accepted, connected, trial
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window
from netlab.studies.teardown.unread_data import last_word


def server(probe: Probe, p: Params) -> None:
    """Reads a little of what is there, and is killed by itself."""
    sock = accepted(probe)
    sock.recv(p.read)
    os.kill(os.getpid(), signal.SIGKILL)


def client(probe: Probe, p: Params) -> Any:
    """Says something, and waits."""
    sock = connected(probe)
    sock.send(b"n" * 100)
    found = trial(sock.recv, 100)
    sock.close()
    return found


def moment(evidence: Evidence) -> list[Window]:
    """From the question until the end is there in place of an answer."""
    return window(
        call_on(evidence, "send", host="client"), call_on(evidence, "recv", host="client")
    )


STUDY = Study(
    name="process-killed",
    topic=Topic.TEARDOWN,
    question="The server is killed with SIGKILL. Does the client ever hear of it?",
    setup="A client sends 100 bytes; the server reads {read} and is killed.",
    prediction="At once. The process cannot do anything any more, but its kernel closes its "
    "descriptors: with all read it sends FIN, as close() would have, with bytes unread RST. "
    "Only a machine that is switched off says nothing.",
    parameters=(Parameter("read", Kind.SIZE, 100, 1, 100, "that the server had read"), RTT),
    server=server,
    client=client,
    experiment=until_the_client_has_ended,
    wire=delay,
    expects=(
        Expect("the server's last word is", Kind.WORD,
               lambda p: "FIN" if p.read == 100 else "RST", last_word,
               "exit_files() of Linux; RFC 9293 3.6 and 3.10.4"),
        Expect("the client's recv() says", Kind.WORD,
               lambda p: "end" if p.read == 100 else "ECONNRESET",
               lambda e: e.returned["client"]["error"] or "end", "man 2 recv"),
    ),
    claims=(
        Claim("A process that is killed leaves its peer without a word",
              lambda e: last_word(e) is None, "if its machine dies with it"),
    ),
    next="`netlab study process-killed --set read=50`, then `netlab study keepalive`: when the "
    "machine is gone.",
    moment=moment,
)  # fmt: skip
