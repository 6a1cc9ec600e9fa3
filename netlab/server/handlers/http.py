"""http: the files of a folder, over HTTP/1.1 (RFC 9110, 9112).

The head of an answer is sent as bytes; the file goes from the page cache to the socket by
sendfile(2), and no byte of it comes through Python. h11 knows the protocol: what a well-formed
request is, whether the connection stays open. `http_files` knows the folder. Each request is
answered from its own bytes alone (see `http_head`), so any worker can answer any request.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from netlab.server.handlers.http_files import Answer, Folder, text_answer
from netlab.server.handlers.http_head import MOST_HEAD_BYTES, head_length
from netlab.server.handlers.optional import needed
from netlab.server.handlers.settings import Settings

if TYPE_CHECKING:
    from netlab.server.server import Server

OPTIONS = {"length_function": head_length, "max_message": MOST_HEAD_BYTES}
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
Headers = list[tuple[str, str]]


def install(server: Server, settings: Settings) -> None:
    """Let the server serve files. Raises UsageError without h11, or without the folder."""
    h11 = needed("h11", "http")
    folder = Folder(settings.folder)

    def receive(server: Server, session: int, head: bytes) -> None:
        respond(h11, folder, server, session, head)

    server.on("receive", receive)


def respond(h11: Any, folder: Folder, server: Server, session: int, head: bytes) -> None:
    """Answer one request; close afterwards where the protocol asks for it."""
    protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD_BYTES)
    headers: Headers = [("Server", "netlab"), ("Date", formatdate(time.time(), usegmt=True))]
    try:
        protocol.receive_data(head)
        request = protocol.next_event()
        if request is h11.NEED_DATA:  # only a head without an end is
            raise h11.RemoteProtocolError("head too long", error_status_hint=431)
        has_body = type(protocol.next_event()) is not h11.EndOfMessage
    except h11.RemoteProtocolError as error:
        answer = text_answer(error.error_status_hint, f"{error}\n")
        has_body = True  # or so we must think: who knows where the next request begins
    else:
        answer = _answer(folder, request, headers)
    if has_body:
        headers.append(("Connection", "close"))
    if answer.content_type:
        headers += [("Content-Type", answer.content_type), ("X-Content-Type-Options", "nosniff")]
    headers += [*answer.headers, ("Content-Length", str(answer.length))]
    reason = HTTPStatus(answer.status).phrase
    response = h11.Response(status_code=answer.status, headers=headers, reason=reason)
    server.send(session, protocol.send(response))
    closes = _must_close(h11, protocol, answer)
    if not answer.head_only:
        if answer.path is not None:
            server.sendfile(session, answer.path, answer.offset, answer.length)
        elif answer.body:
            server.send(session, answer.body)
    if closes:
        server.close(session)


def _answer(folder: Folder, request: Any, headers: Headers) -> Answer:
    """What the folder has to say to a request that is well-formed."""
    method = request.method.decode("ascii", "replace")
    if method not in ("GET", "HEAD"):
        answer = text_answer(405, "only GET and HEAD\n")
        headers.append(("Allow", "GET, HEAD"))
    else:
        answer = folder.answer(request.target.decode("latin-1"))
        wanted = [value for name, value in request.headers if name == b"range"]
        if len(wanted) == 1 and method == "GET" and answer.status == 200:
            answer = part_of(answer, wanted[0].decode("latin-1"))
    answer.head_only = method == "HEAD"
    return answer


def part_of(answer: Answer, wanted: str) -> Answer:
    """One range of a file (RFC 9110 14.2); what is not understood is ignored: all of it."""
    match = _RANGE.fullmatch(wanted.strip())
    if answer.path is None or match is None or match[0] == "bytes=-":
        return answer
    size = answer.length
    if not match[1]:  # the last so many bytes
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(size - 1, int(match[2] or size - 1))
        if match[2] and int(match[2]) < first:
            return answer
    if first > last:
        refusal = text_answer(416, "the file is not that long\n")
        refusal.headers.append(("Content-Range", f"bytes */{size}"))
        return refusal
    answer.status, answer.offset, answer.length = 206, first, last - first + 1
    answer.headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    return answer


class _Bytes:
    """Stands for bytes that h11 shall count and never sees."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


def _must_close(h11: Any, protocol: Any, answer: Answer) -> bool:
    """Whether this answer is the last on its connection: h11 knows once the answer is over."""
    if not answer.head_only:
        protocol.send_with_data_passthrough(h11.Data(data=_Bytes(answer.length)))
    protocol.send(h11.EndOfMessage())
    return protocol.our_state is not h11.DONE
