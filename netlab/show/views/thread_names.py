"""The threads of a ladder -> short names for its marks, and who is at the other end of a message.

Where one thread stands on a side it needs no name. The roles of a server get their initial and
their number (`worker-2` is `w2`, `master/reactor-0` is `r0`), other threads a letter.
"""

from __future__ import annotations

from netlab.model.tables import Role, Tables
from netlab.show.views.cast import Cast, Thread, thread_of

_ROLES = ("master", "manager", "reactor", "worker", "task")


def thread_names(players: Cast) -> dict[Thread, str]:
    """A name for each thread; nothing for one that stands alone on its side."""
    found: dict[Thread, str] = {}
    for threads in players.threads.values():
        if len(threads) == 1:
            found[threads[0]] = ""
            continue
        names = [_of_role(players.actors[thread]) for thread in threads]
        if None in names or len(set(names)) < len(names):
            names = [_letter(index) for index in range(len(threads))]
        found |= {thread: name or "" for thread, name in zip(threads, names, strict=True)}
    return found


def full_name(players: Cast, thread: Thread) -> str:
    """`worker-2 (pid 123)`, or `pid 123 tid 124` where the actor's name says nothing new."""
    _, pid, tid = thread
    actor = players.actors[thread]
    if _of_role(actor) is not None:
        return f"{actor} (pid {pid})" if pid == tid else f"{actor} (pid {pid} tid {tid})"
    return f"pid {pid} tid {tid}"


def hop_peers(tables: Tables, names: dict[Thread, str]) -> dict[int, str]:
    """For each call that handed bytes to another process or took them: that one's short name."""
    threads = {call.call: thread_of(call) for call in tables.calls}
    actors = {call.call: call.actor for call in tables.calls}
    found: dict[int, str] = {}
    for span in tables.spans:
        if span.role == Role.LOCAL and span.peer_call is not None:
            name = names.get(threads[span.peer_call]) or _of_role(actors[span.peer_call])
            found[span.call] = name or actors[span.peer_call]
    return found


def _of_role(actor: str) -> str | None:
    role, _, number = actor.rpartition("/")[2].partition("-")
    return f"{role[0]}{number}" if role in _ROLES else None


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else str(index)
