"""A recv() with nothing to read: wait in it, come back at once, or be told when to come."""

from __future__ import annotations

import select
import time
from typing import Any

from netlab.model.probe import Probe
from netlab.studies.evidence import Evidence
from netlab.studies.parts import MS, TURN_NS
from netlab.studies.quantity import Kind, shown
from netlab.studies.sockets import accepted, connected
from netlab.studies.study import Claim, Expect, Parameter, Params, Study, Topic, Window

WAYS = ("blocking", "spinning", "polling")
PATIENCE_MS = 10_000  # of the poll()


def server(probe: Probe, p: Params) -> None:
    """Answers each question with a byte, after a while."""
    sock = accepted(probe)
    for _ in WAYS:
        sock.recv(1)
        time.sleep(p.think / 1e9)
        sock.send(b"n")
    sock.close()


def client(probe: Probe, p: Params) -> Any:
    """Asks three times, and waits for the answer in three ways."""
    sock = connected(probe)
    found = {"blocking": _asked(sock, _until_it_came)}
    sock.setblocking(False)
    found["spinning"] = _asked(sock, _until_it_came)
    poll = probe.poll()
    poll.register(sock, select.POLLIN)

    def when_told(sock: Any) -> int:
        poll.poll(PATIENCE_MS)
        return _until_it_came(sock)

    found["polling"] = _asked(sock, when_told)
    sock.close()
    return found


def _asked(sock: Any, answer: Any) -> dict[str, int]:
    """How long the answer took, how much of that time the processor worked, and what was vain."""
    begun_ns, worked_ns = time.monotonic_ns(), time.thread_time_ns()
    sock.send(b"?")
    vain = answer(sock)
    return {
        "took_ns": time.monotonic_ns() - begun_ns,
        "worked_ns": time.thread_time_ns() - worked_ns,
        "vain": vain,
    }


def _until_it_came(sock: Any) -> int:
    """recv() until it has the byte; how often it failed. Of a blocking socket it never does."""
    vain = 0
    while True:
        try:
            sock.recv(1)
        except BlockingIOError:
            vain += 1
        else:
            return vain


def found(evidence: Evidence, way: str, what: str) -> int:
    """What was found."""
    value: int = evidence.returned["client"][way][what]
    return value


def table(evidence: Evidence) -> list[list[str]]:
    """The three ways side by side."""
    names = ("recv() blocks", "does not, again and again", "does not, after poll()")
    rows = [
        [name, shown(Kind.TIME, found(evidence, way, "took_ns")),
         shown(Kind.TIME, found(evidence, way, "worked_ns")),
         f"{found(evidence, way, 'vain'):,}"]
        for name, way in zip(names, WAYS, strict=True)
    ]  # fmt: skip
    return [["the client's", "answer after", "processor time", "EAGAIN"], *rows]


def moment(evidence: Evidence) -> list[Window]:
    """The first question and its answer."""
    asked, got = evidence.call("send", host="client"), evidence.call("recv", host="client")
    return [(asked.entered_ns, got.returned_ns)] if asked and got and got.returned_ns else []


def read_after_ns(evidence: Evidence, way: str) -> int | None:
    """From the departure of an answer to the return of the recv() that read it."""
    number = WAYS.index(way)
    answers = evidence.frames("s>c", data=True)
    reads = [call for call in evidence.calls("recv", host="client") if call.result]
    if number >= min(len(answers), len(reads)) or reads[number].returned_ns is None:
        return None
    return (reads[number].returned_ns or 0) - answers[number][0].time_ns


def _answer(way: str) -> Expect:
    return Expect(
        f"{way}: the program has the answer after it has left the server by", Kind.TIME,
        lambda p: 0, lambda e: read_after_ns(e, way), "no way is faster than the wire",
        more=(3 if way == "spinning" else 2) * TURN_NS, otherwise=lambda p: PATIENCE_MS * MS,
        because="a turn each for the wire and the program"
        + (", and who spins has used up its own" if way == "spinning" else ""),
    )  # fmt: skip


STUDY = Study(
    name="blocking",
    topic=Topic.IO_MODELS,
    question="There is nothing to read yet. Should recv() wait, or come back with empty hands?",
    setup="A client asks, and the server needs {think} to answer. The client waits in recv(). "
    "Then, its socket set to non-blocking, it calls recv() until there is something. Last, it "
    "waits in poll() and calls recv() once.",
    prediction="Waiting costs no processor time: the process sleeps in the kernel until the byte "
    "wakes it. The non-blocking call fails at once with EAGAIN, and a loop around it uses up "
    "the processor without being any faster. poll() sleeps as well, but can do so "
    "for many sockets at once: that is what non-blocking sockets are for.",
    parameters=(Parameter("think", Kind.TIME, 20 * MS, 10 * MS, 200 * MS, "of the server"),),
    server=server,
    client=client,
    expects=(
        *(_answer(way) for way in WAYS),
        Expect("calls that failed with EAGAIN: blocking, polling", Kind.COUNT, lambda p: 0,
               lambda e: found(e, "blocking", "vain") + found(e, "polling", "vain"),
               "man 2 recv; man 2 poll"),
        Expect("spinning: more than ten of them", Kind.WORD, lambda p: "yes",
               lambda e: "yes" if found(e, "spinning", "vain") > 10 else "no", "man 2 recv"),
        Expect("spinning takes over 3 times the processor time of blocking", Kind.WORD,
               lambda p: "yes",
               lambda e: "yes" if found(e, "spinning", "worked_ns")
               > 3 * found(e, "blocking", "worked_ns") else "no",
               "man 7 sched: who waits does not run"),
    ),
    moment=moment,
    table=table,
    claims=(
        Claim("A program that waits in recv() uses up the processor",
              lambda e: found(e, "blocking", "worked_ns") > found(e, "blocking", "took_ns") // 2),
    ),
    next="`netlab study every-call`: what all the other calls do.",
    cause=lambda p: "peer_app" if p.think >= TURN_NS else "",
    waits_on="client recv",
)  # fmt: skip
