"""A client of the chat room: waits for company, says its lines, listens until all have said theirs.

Everybody ends by itself: who has said all says `bye`, and leaves when every other that is there has
said so too, or has left. Of two, at least the one that was there first hears the other's `bye`, and
when it leaves, that is told; so nobody waits for ever. Read first: client.py, handlers/chat.py.
"""

from __future__ import annotations

import re
import socket

from netlab.lab.client import Client, Failed

COMPANY_WITHIN_S = 1.0  # then it speaks to nobody
ANSWER_WITHIN_S = 10.0
BYE = b"bye"
_GREETING = re.compile(rb"\* you are (\d+), with \d+ others:?((?: \d+)*)")
_COMING = re.compile(rb"\* (\d+) (is here|has left)")
_LINE = re.compile(rb"(\d+): (.*)")


class Chat(Client):
    """One of several in the room."""

    _ourselves = 0
    _heard_bytes = b""

    def converse(self) -> None:
        """Come in, speak, listen, leave."""
        self._present: set[int] = set()
        self._left: set[int] = set()
        self._said: dict[int, int] = {}  # how many lines of each other were heard
        self._byes: set[int] = set()
        self._socket.settimeout(ANSWER_WITHIN_S)
        while not self._ourselves:
            self._hear()
        self._wait_for_company()
        for index in range(self._orders.messages):
            if index and self._told_to_stop(within_ms=self._orders.think_ms):
                break
            self._put(self._line(index) + b"\n")
            self._progress(index + 1)
        self._put(BYE + b"\n")
        while not self._present - self._left <= self._byes:
            self._hear()
        self._leave()

    def _wait_for_company(self) -> None:
        self._socket.settimeout(COMPANY_WITHIN_S)
        try:
            while not self._present:
                self._hear()
        except TimeoutError:
            pass
        self._socket.settimeout(ANSWER_WITHIN_S)

    def _line(self, index: int) -> bytes:
        """The same of everybody, so that it can be checked: a number, and dots up to the size."""
        return b"%d " % index + b"." * (self._orders.size_bytes - len(b"%d \n" % index))

    def _hear(self) -> None:
        """Read once, and take in the lines that are whole. Raises Failed at the end of all."""
        piece = self._socket.recv(self._orders.recv_size_bytes)
        if not piece:
            raise Failed("the server closed while others were there")
        *lines, self._heard_bytes = (self._heard_bytes + piece).split(b"\n")
        for line in lines:
            self._take_in(line)

    def _take_in(self, line: bytes) -> None:
        if greeting := _GREETING.fullmatch(line):
            self._ourselves = int(greeting[1])
            self._present.update(map(int, greeting[2].split()))
        elif coming := _COMING.fullmatch(line):
            (self._present if coming[2] == b"is here" else self._left).add(int(coming[1]))
        elif spoken := _LINE.fullmatch(line):
            self._listen_to(int(spoken[1]), spoken[2])
        else:
            raise Failed("the server said what nobody says in a chat")

    def _listen_to(self, other: int, words: bytes) -> None:
        """Lines of one come in order, from whichever we are there for."""
        self._present.add(other)
        if words == BYE:
            self._byes.add(other)
            return
        index = self._said.get(other)
        if index is None:
            number = words.partition(b" ")[0]
            index = int(number) if number.isdigit() else -1
        if words != self._line(index):
            raise Failed(f"line {index} of {other} is not what it must be")
        self._said[other] = index + 1

    def _leave(self) -> None:
        """Our FIN, then the server's; others may still speak."""
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(self._orders.recv_size_bytes):
            pass
        self._socket.close()
