"""connect -> what it waited for: the frames of the handshake; and when a queue took them in.

Until the SYN left that came, until the SYN-ACK left that came, on the wire. A SYN that came and had
no answer met a full queue; the listener's calls say so where they are known (`queues`).
Read first: RFC 9293 3.5, man 2 listen, tcp_conn_request in Linux.
"""

from __future__ import annotations

from netlab.correlate.arrivals import arrival_ns, came, may_have_reached, on_its_way, reached, sent
from netlab.correlate.flows import ACK
from netlab.explain.causes import Cause, Certainty
from netlab.explain.flight import tell_flight
from netlab.explain.parts import Line
from netlab.explain.path import Path
from netlab.explain.queues import clipped_text, held_text, queue_at
from netlab.explain.wording import fate_text
from netlab.model.tables import Call, Direction, Packet, Side

_PROMPT_NS = 2_000_000  # the stack's own work, on a busy machine
# What TCP does not take for an error (tcp_v4_err and tcp_v6_err in Linux).
_NO_ERROR = frozenset({"redirect", "source quench", "fragmentation needed", "packet too big"})


def tell_handshake(line: Line, path: Path, side: Side = Side.CLIENT) -> int | None:
    """Of the end that connects: until the SYN-ACK came; returns when. None: none did."""
    if crossed(path):
        return _tell_crossing(line, path, side)
    half, back = path.track.halves[Direction.C2S], path.track.halves[Direction.S2C]
    syns, answers = sent(half.syns), came(back.syns)
    if not syns:
        return None
    line.until(syns[0].time_ns, Cause.COPY, Certainty.INFERRED)
    answer = answers[0] if answers else None
    sent_answers = sent(back.syns)
    heard = next((p for p in came(syns) if not sent_answers
                  or arrival_ns(p) <= sent_answers[0].time_ns), None)  # fmt: skip
    if sent_answers and path.exact:
        first_answer = sent_answers[0]
        taken = max(
            (p for p in syns if reached(p) and arrival_ns(p) <= first_answer.time_ns),
            key=arrival_ns, default=syns[0],
        )  # fmt: skip
        tell_syns(line, path, syns, taken.time_ns)
        tell_flight(line, taken, None)
        line.until(first_answer.time_ns, Cause.COPY, Certainty.INFERRED)
        if answer is not None:
            _resent_answers(line, sent_answers, answer)
            tell_flight(line, answer, None)
    elif answer is not None:  # seen at one end
        last = tell_syns(line, path, syns, answer.time_ns)
        line.until(arrival_ns(answer), Cause.NETWORK, Certainty.INFERRED,
                   (last.frame, answer.frame), (), "for the SYN and its answer")  # fmt: skip
    elif heard is not None or len(syns) > 1:
        tell_syns(line, path, syns, line.stop_ns)
    return arrival_ns(answer) if answer is not None else None


def crossed(path: Path) -> bool:
    """Whether both ends sent a SYN of their own: a simultaneous open (RFC 9293 figure 8)."""
    return not path.track.flow.to_itself and all(
        any(not packet._flags & ACK for packet in sent(half.syns))
        for half in path.track.halves.values()
    )


def _tell_crossing(line: Line, path: Path, side: Side) -> int | None:
    """A connect that met another: until the SYN-ACK came with which that answered this one's SYN.

    Each end sends it when the other's SYN has come, so both SYNs and both SYN-ACKs pass each other.
    """
    mine = [p for p in sent(path.track.halves[side.outbound].syns) if not p._flags & ACK]
    theirs = sent(path.track.halves[side.inbound].syns)
    first = mine[0]
    line.until(first.time_ns, Cause.COPY, Certainty.INFERRED)
    answer = next(iter(came([p for p in theirs if p._flags & ACK])), None)
    if answer is None:
        return None
    if path.exact and first._wired and reached(first) and arrival_ns(first) <= answer.time_ns:
        tell_flight(line, first, None)
        tell_prompt(line, answer)
        tell_flight(line, answer, None)
    elif path.exact and first._wired:  # something was lost, and what took its place is not told
        line.unknown(arrival_ns(answer), f"before frame {answer.frame} came, after SYNs that met")
    else:
        line.until(arrival_ns(answer), Cause.NETWORK, Certainty.INFERRED,
                   (first.frame, answer.frame), (), "for the SYN and its answer")  # fmt: skip
    return arrival_ns(answer)


def tell_syns(line: Line, path: Path, syns: list[Packet], until_ns: int) -> Packet:
    """From each SYN to the next, up to then; returns the last of them."""
    before = syns[0]
    for packet in syns[1:]:
        if packet.time_ns > until_ns:
            break
        _lost_syn(line, path, before, packet)
        before = packet
    return before


def _lost_syn(line: Line, path: Path, before: Packet, packet: Packet) -> None:
    """From one SYN to the next: it was lost, or on its way, or the listener's queue was full."""
    frames = (before.frame, packet.frame)
    said_to = _answers_to(path, before, packet.time_ns)
    answer = next((one for one in said_to if not may_have_reached(one)), None)
    if answer is not None:
        line.until(
            packet.time_ns, Cause.SYN_RETRY, Certainty.OBSERVED,
            (before.frame, answer.frame, packet.frame), (),
            f"because the answer to the SYN of frame {before.frame} (frame {answer.frame},"
            f" {answer.tcp_flags}) {_lost(answer)}, until it was sent again"
            f" (frame {packet.frame})",
        )  # fmt: skip
        return
    if _still_under_way(line, before, said_to, packet.time_ns):
        return
    if path.exact and reached(before) and before._wired:
        full = queue_at(path, arrival_ns(before))
        certainty, said = Certainty.INFERRED, "its queue was full"
        calls: tuple[int, ...] = ()
        if full is not None:
            listen, waiting, backlog = full
            calls = (listen.call,)
            said = f"its queue {held_text(waiting, backlog)}"
            if clipped := clipped_text(path.scene, listen):
                said += f" (listen({listen.args}){clipped})"
            certainty = Certainty.OBSERVED if waiting == backlog + 1 else Certainty.INFERRED
        line.until(
            packet.time_ns, Cause.BACKLOG_FULL, certainty, frames, calls,
            f"because the listener ignored the SYN of frame {before.frame}: {said}",
        )  # fmt: skip
        return
    sure = before._wired
    what = _lost(before) if sure else "had no answer"
    line.until(
        packet.time_ns, Cause.SYN_RETRY, Certainty.OBSERVED if sure else Certainty.INFERRED,
        frames, (),
        f"because the SYN of frame {before.frame} {what}, until it was sent again"
        f" (frame {packet.frame})",
    )  # fmt: skip


def _lost(packet: Packet) -> str:
    return fate_text(packet) or "was lost on the wire"


def _answers_to(path: Path, syn: Packet, until_ns: int) -> list[Packet]:
    """What left the other end since a SYN came there, before `until_ns`, on a wire that tells."""
    if not path.exact or not syn._wired or not reached(syn):
        return []
    back = path.track.halves[Direction.S2C]
    return [
        packet for packet in (*sent(back.syns), *back.resets)
        if packet._wired and arrival_ns(syn) <= packet.time_ns < until_ns
    ]  # fmt: skip


def _still_under_way(line: Line, syn: Packet, said_to: list[Packet], until_ns: int) -> bool:
    """Told up to then, if the SYN or what was said to it was on its way: no queue is full for that.

    A round trip may be longer than the retransmission timer: the next SYN leaves before.
    """
    coming = [p for p in said_to if on_its_way(p) or arrival_ns(p) >= until_ns]
    if coming:
        last = coming[0]
        frames: tuple[int, ...] = (syn.frame, last.frame)
        what = f"the answer to the SYN of frame {syn.frame} (frame {last.frame}, {last.tcp_flags})"
    elif said_to:
        came_first = said_to[0].frame
        line.unknown(
            until_ns, f"after frame {came_first} had answered the SYN of frame {syn.frame}"
        )
        return True
    elif syn._wired and (on_its_way(syn) or (reached(syn) and arrival_ns(syn) >= until_ns)):
        last, frames, what = syn, (syn.frame,), f"the SYN of frame {syn.frame}"
    else:
        return False
    sure = reached(last) and arrival_ns(last) >= until_ns
    line.until(until_ns, Cause.NETWORK, Certainty.OBSERVED if sure else Certainty.INFERRED,
               frames, (), f"in which {what} was on the wire")  # fmt: skip
    return True


def _resent_answers(line: Line, sent_answers: list[Packet], answer: Packet) -> None:
    first = sent_answers[0]
    if answer is first:
        return
    line.until(
        answer.time_ns, Cause.SYN_RETRY,
        Certainty.OBSERVED if first._wired else Certainty.INFERRED,
        (first.frame, answer.frame), (),
        f"because the SYN-ACK of frame {first.frame} {fate_text(first) or 'was lost'}, until it was"
        f" sent again (frame {answer.frame})",
    )  # fmt: skip


def tell_connect(line: Line, path: Path, call: Call) -> int | None:
    """A connect that waited: returns when it could return; None: it is not known."""
    refusals = came(path.track.halves[Direction.S2C].resets)
    syns = sent(path.track.halves[Direction.C2S].syns)
    if call.errno == "ECONNREFUSED" and syns and refusals:
        return tell_refusal(line, path, syns, refusals[0])
    error = icmp_error(path, line.stop_ns) if call.errno == "ECONNREFUSED" else None
    if error is not None and syns:
        return tell_icmp(line, path, syns, error)
    ready_ns = tell_handshake(line, path, Side(call.side or Side.CLIENT))
    gave_up = call.errno == "ETIMEDOUT" or call.returned_ns is None
    if ready_ns is None and gave_up and syns:
        tell_unanswered(line, path, syns)
    return ready_ns


def unanswered(path: Path | None, until_ns: int) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """(what became of the last SYN by then, frames, calls), where it had no answer."""
    if path is None:
        return "", (), ()
    syns = [p for p in sent(path.track.halves[Direction.C2S].syns) if p.time_ns <= until_ns]
    back = path.track.halves[Direction.S2C]
    if not syns or any(arrival_ns(p) <= until_ns for p in came((*back.syns, *back.resets))):
        return "", (), ()
    last = syns[-1]
    if not path.exact or not last._wired:
        return f": the SYN of frame {last.frame} had no answer", (last.frame,), ()
    if not may_have_reached(last):
        return f": the SYN of frame {last.frame} {_lost(last)}", (last.frame,), ()
    if on_its_way(last) or arrival_ns(last) > until_ns:
        return f": the SYN of frame {last.frame} was on the wire", (last.frame,), ()
    said_to = _answers_to(path, last, until_ns)
    if said_to:
        lost = not any(map(may_have_reached, said_to))
        return (
            f": the answer to the SYN of frame {last.frame} (frame {said_to[0].frame},"
            f" {said_to[0].tcp_flags}) {_lost(said_to[0]) if lost else 'was on the wire'}",
            (last.frame, said_to[0].frame), (),
        )  # fmt: skip
    full = queue_at(path, arrival_ns(last))
    if full is None or full[1] <= full[2]:
        return f": the SYN of frame {last.frame} came and had no answer", (last.frame,), ()
    listen, waiting, backlog = full
    return (
        f": the listener ignored the SYN of frame {last.frame}, for its queue"
        f" {held_text(waiting, backlog)}", (last.frame,), (listen.call,),
    )  # fmt: skip


def tell_refusal(line: Line, path: Path, syns: list[Packet], refusal: Packet) -> int:
    """Until the reset came that refused a SYN; returns when."""
    ready_ns = arrival_ns(refusal)
    line.until(syns[0].time_ns, Cause.COPY, Certainty.INFERRED)
    # The timer may have sent another while the refusal was on its way.
    answered = [p for p in syns if reached(p) and arrival_ns(p) <= refusal.time_ns]
    last_ns = max(answered, key=arrival_ns).time_ns if path.exact and answered else ready_ns - 1
    before = tell_syns(line, path, syns, last_ns)
    line.until(
        ready_ns, Cause.REFUSED, Certainty.OBSERVED, (before.frame, refusal.frame), (),
        f"until the SYN of frame {before.frame} was refused (frame {refusal.frame})",
    )  # fmt: skip
    return ready_ns


def icmp_error(path: Path, until_ns: int) -> Packet | None:
    """The last ICMP message that had come by then and is an error of the client's frames."""
    flow = path.track.flow
    told = [
        packet for packet, forward in flow.errors
        if flow.direction(forward) is Direction.C2S and reached(packet)
        and arrival_ns(packet) <= until_ns and says_no_way(packet)
    ]  # fmt: skip
    return max(told, key=arrival_ns, default=None)


def says_no_way(packet: Packet) -> bool:
    """Whether an ICMP message says that what it quotes does not get there, of whatever size."""
    icmp = packet._icmp
    return icmp is None or (icmp.mtu_bytes is None and icmp.name not in _NO_ERROR)


def tell_icmp(line: Line, path: Path, syns: list[Packet], error: Packet) -> int:
    """Until the ICMP message came that ended a connect; returns when."""
    ready_ns = arrival_ns(error)
    line.until(syns[0].time_ns, Cause.COPY, Certainty.INFERRED)
    before = tell_syns(line, path, syns, ready_ns - 1)
    name = error._icmp.name if error._icmp is not None else "ICMP"
    cause = Cause.REFUSED if error._port_unreachable else Cause.UNREACHABLE
    line.until(ready_ns, cause, Certainty.OBSERVED, (before.frame, error.frame), (),
               f"until the ICMP message of frame {error.frame} came ({name})")  # fmt: skip
    return ready_ns


def tell_unanswered(line: Line, path: Path, syns: list[Packet]) -> None:
    """A connect that the kernel gave up, or that was still inside at the end: what was lost."""
    line.until(syns[0].time_ns, Cause.COPY, Certainty.INFERRED)
    before = tell_syns(line, path, syns, line.stop_ns)
    said_to = _answers_to(path, before, line.stop_ns)
    answer = next((one for one in said_to if not may_have_reached(one)), None)
    if answer is None and _still_under_way(line, before, said_to, line.stop_ns):
        return
    last, either = ("last ", " either") if before is not syns[0] else ("", "")
    if answer is not None:
        line.until(
            line.stop_ns, Cause.SYN_RETRY, Certainty.OBSERVED, (before.frame, answer.frame), (),
            f"because the answer to the {last}SYN (frame {before.frame}) was lost"
            f"{' as well' if last else ''}: frame {answer.frame} {_lost(answer)}",
        )  # fmt: skip
        return
    ignored = path.exact and before._wired and reached(before)
    cause = Cause.BACKLOG_FULL if ignored else Cause.SYN_RETRY
    queue = queue_at(path, arrival_ns(before)) if ignored else None
    sure = before._wired if not ignored else queue is not None and queue[1] > queue[2]
    line.until(
        line.stop_ns, cause, Certainty.OBSERVED if sure else Certainty.INFERRED,
        (before.frame,), (),
        f"because the {last}SYN (frame {before.frame}) had no answer{either}",
    )  # fmt: skip


def tell_prompt(line: Line, packet: Packet) -> None:
    """A stack answers at once: what takes longer is not that."""
    if packet.time_ns - line.at_ns <= _PROMPT_NS:
        line.until(packet.time_ns, Cause.COPY, Certainty.INFERRED, (packet.frame,))
    line.unknown(packet.time_ns, f"before frame {packet.frame}, for a reason that is not seen")
