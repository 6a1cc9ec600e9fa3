"""The frame around every traced call: entry, the plain call exactly once, return or failure.

Also what a traced socket knows of itself. The calls themselves are in sockets.py.

Read first: Modules/socketmodule.c of CPython 3.11 (sock_call_ex); Python/ceval.c on when signal
handlers run.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import starmap
from time import time_ns
from typing import Any, TypeVar

from netlab.capture.probe.addresses import address_text, maybe_local
from netlab.capture.probe.journal import Inside, Journal, SocketState
from netlab.capture.probe.layout import OP
from netlab.model.call import MSG_CTRUNC, MSG_TRUNC

T = TypeVar("T")


class FramedSocket(socket.socket):
    """A plain socket that knows its journal, its addresses, and how to note a call."""

    __slots__ = ("_inode", "_journal", "_state")

    def __init__(
        self, journal: Journal, family: int = -1, kind: int = -1, protocol: int = -1,
        fileno: int | None = None,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._state: SocketState | None = None
        self._inode = 0
        super().__init__(family, kind, protocol, fileno)

    # -- what is known of the socket -------------------------------------------------------------

    def watch(self, *, local: str | None = None, peer: str | None = None) -> None:
        """Begin to trace the descriptor that this object has been given."""
        journal = self._journal
        if journal.off:
            return
        try:
            fd = self.fileno()
            state = journal.state(fd, self.family, self.type, local, peer)
            self._inode = state.inode
            journal.detached.pop(fd, None)
            journal.hold(fd, state.inode)
            self._become(state)
        except Exception as error:
            journal.fault(error)

    @property
    def state(self) -> SocketState | None:
        """What is known of the socket; None once it is closed, or when it is not traced."""
        return self._state

    @property
    def inode(self) -> int:
        """The socket's own number, whatever descriptors lead to it; 0 when not known."""
        return self._inode

    def _become(self, state: SocketState) -> None:
        self._state = state

    def _learn(self, *, peer: str | None = None) -> None:
        """Ask for the socket's own address anew, and keep the peer's when it is given."""
        state, journal = self._state, self._journal
        if state is None or journal.off:
            return
        try:
            local = maybe_local(self)
            if local is None:
                local = state.local
            if peer is None:
                peer = state.peer
            if (local, peer) != (state.local, state.peer):
                known = journal.state(
                    state.fd, self.family, self.type, local, peer, inode=state.inode
                )
                self._become(known)
        except Exception as error:
            journal.fault(error)

    def _forget(self, *, detached: bool = False) -> None:
        state = self._state
        if state is not None:
            self._state = None
            self._journal.let_go(state.fd)
            if detached:
                self._journal.detached[state.fd] = state.inode

    # -- the frame around every call -------------------------------------------------------------

    def _be_patient(self, op: str) -> None:
        """What must be waited for before the call is made; nothing, but for stamped sockets."""

    def _enter(
        self, op: str, requested: object = None, flags: object = 0, *, args: str = "",
        address: str | None = None, sample: bool = True, about: int = 0,
    ) -> Inside | None:  # fmt: skip
        state = self._state
        if state is None:  # closed or never watched: the plain call says what is wrong
            return None
        return self._journal.enter(
            OP[op], state, requested=requested, flags=flags, args=args, address=address,
            sample=sample and self._journal.sample_calls, about=about,
        )  # fmt: skip

    def _fail(
        self, inside: Inside | None, error: BaseException, result: int | None = None,
        partial: bool = False, sample: bool = True, address: str | None = None,
    ) -> None:  # fmt: skip
        if inside is not None:
            self._journal.fail(
                inside,
                self._state,
                error,
                timeout=self.gettimeout(),
                result=result,
                partial=partial,
                sample=sample,
                address=address,
            )

    def _counted(
        self, op: str, requested: object, function: Callable[..., T], arguments: tuple[Any, ...],
        count: Callable[[T], int], about: int = 0,
    ) -> T:  # fmt: skip
        """A call that moves bytes and whose result says how many; the last argument is flags."""
        return self._received(
            op, requested, function, arguments, lambda value: (count(value), 0, None), about
        )

    def _simple(self, op: str, call: Callable[[], T], args: str = "", sample: bool = False) -> T:
        """A call that returns 0 or fails."""
        inside = self._enter(op, args=args, sample=sample)
        try:
            value = call()
        except BaseException as error:
            self._fail(inside, error)
            raise
        if inside is not None:
            after = sample and self._journal.sample_calls
            self._journal.leave(inside, self._state, 0, sample=after)
        return value

    def _received(
        self, op: str, requested: object, function: Callable[..., T], arguments: tuple[Any, ...],
        parts: Callable[[T], tuple[int, int, Any]], about: int = 0,
    ) -> T:  # fmt: skip
        """A call whose result holds a count, flags and the sender's address.

        A signal handler that raises just after the call does not take the result along: starmap
        hands it over before any handler runs (see quick.py).
        """
        inside = self._enter(op, requested, arguments[-1], about=about)
        results: list[T] = []
        try:
            self._be_patient(op)
            results.extend(starmap(function, ((self, *arguments),)))
            now_ns = time_ns()
        except BaseException as error:
            self._fail(inside, error, parts(results[0])[0] if results else None)
            raise
        value = results[0]
        if inside is not None:
            count, reported, sender = parts(value)
            named = sender is not None and sender != ()
            journal = self._journal
            journal.leave(
                inside, self._state, count, returned_ns=now_ns,
                flags=reported & (MSG_TRUNC | MSG_CTRUNC),
                address=address_text(self.family, sender) if named else None,
                sample=journal.sample_calls,
            )  # fmt: skip
        return value
