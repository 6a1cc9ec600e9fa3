"""What h11 and wsproto put on the wire, read back: bodies, fragments, compression, closing."""

from __future__ import annotations

import random

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import C, S, Turn, cut, items, said, texts
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request
from wsproto.events import TextMessage as Text
from wsproto.extensions import Extension, PerMessageDeflate

from netlab.decode.applications.http1 import Http1
from netlab.model.tables import Side

MESSAGES = 23
SIZE = 4093


def opened(*extensions: Extension) -> tuple[WSConnection, WSConnection, list[Turn]]:
    """Client and server behind their handshake, and what that was on the wire."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    request = Request(host="a.example", target="/chat", extensions=list(extensions))
    asked = client.send(request)
    server.receive_data(asked)
    assert isinstance(next(iter(server.events())), Request)
    accepts = [PerMessageDeflate()] if extensions else []
    answered = server.send(AcceptConnection(extensions=accepts))
    client.receive_data(answered)
    list(client.events())
    return client, server, [C(asked), S(answered)]


@pytest.mark.parametrize("deflate", [False, True])
def test_every_message_of_wsproto_is_one(deflate: bool) -> None:
    client, server, turns = opened(*([PerMessageDeflate()] if deflate else []))
    dice = random.Random(23)
    for number in range(MESSAGES):
        data = dice.randbytes(SIZE)
        turns.append(C(client.send(BytesMessage(data[: SIZE // 2], message_finished=False))
                       + client.send(Ping(b"between"))
                       + client.send(BytesMessage(data[SIZE // 2 :]))))  # fmt: skip
        turns.append(S(server.send(Text(f"message {number}"))))
    turns.append(C(client.send(CloseConnection(code=1000, reason="done"))))
    spoken = said(Http1, *cut(turns, *range(1, 9000, 997)))
    asked, answered = spoken[Side.CLIENT], spoken[Side.SERVER]
    assert not any(message.fault for message in asked + answered)
    assert len(asked) == 1 + 2 * MESSAGES + 1
    assert len(answered) == 1 + MESSAGES
    assert asked[-1].text == "close 1000 normal closure: done"
    pings = [message for message in asked if message.text == "ping, 7 bytes: between"]
    assert len(pings) == MESSAGES
    if deflate:
        assert all("compressed" in message.text for message in answered[1:])
        assert items(answered[1])["compressed"] == "permessage-deflate"
    else:
        assert answered[1].text == "text, 9 bytes: message 0"
        whole = f"binary, {SIZE:,} bytes in 2 fragments"
        assert texts(asked).count(whole) == MESSAGES
    end = sum(len(turn.data) for turn in turns if turn.side is Side.CLIENT)
    assert asked[-1].stop == end


BODIES = st.lists(st.binary(max_size=300), max_size=5)
STATUS = st.sampled_from([200, 204, 304, 404])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["GET", "HEAD", "POST"]), BODIES, STATUS, st.booleans()),
             max_size=5),
    st.sets(st.integers(1, 400), max_size=9),
)  # fmt: skip
def test_what_h11_sends_is_read_as_it_was_meant(
    exchanges: list[tuple[str, list[bytes], int, bool]], places: set[int]
) -> None:
    client, server = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
    turns: list[Turn] = []
    bodies: list[int] = []
    for method, body, status, chunked in exchanges:
        head = [("Host", "a"), ("Content-Length", "0")]
        sent = client.send(h11.Request(method=method, target="/", headers=head))
        sent = (sent or b"") + (client.send(h11.EndOfMessage()) or b"")
        turns.append(C(sent))
        server.receive_data(sent)
        while server.next_event() is not h11.PAUSED and server.their_state is h11.SEND_BODY:
            pass
        bare = method == "HEAD" or status in (204, 304)
        body = [] if bare else [part for part in body if part]
        size = sum(map(len, body))
        length = [] if chunked else [("Content-Length", str(size))]
        parts = [server.send(h11.Response(status_code=status, headers=length))]
        parts += [server.send(h11.Data(data=part)) for part in body]
        parts.append(server.send(h11.EndOfMessage()))
        answer = b"".join(part or b"" for part in parts)
        turns.append(S(answer))
        bodies.append(0 if bare else size)
        client.receive_data(answer)
        while client.next_event() not in (h11.NEED_DATA, h11.PAUSED):
            if client.their_state is h11.DONE:
                break
        client.start_next_cycle()
        server.next_event()
        server.start_next_cycle()
    if not turns:
        return
    spoken = said(Http1, *cut(turns, *places))
    assert texts(spoken[Side.CLIENT]) == [f"{method} /" for method, *_ in exchanges]
    answers = spoken[Side.SERVER]
    assert [text[:3] for text in texts(answers)] == [str(status) for _, _, status, _ in exchanges]
    assert not any(message.fault for message in answers)
    assert [
        int(items(a).get("body", "0").split(" ")[0].replace(",", "")) for a in answers
    ] == bodies
