"""What a tunnel carries is told by its first bytes, whichever side they come from."""

from __future__ import annotations

from spoken import C, S, everywhere, gap, said, texts

from netlab.decode.applications.tunnel import Tunnel
from netlab.model.tables import Side

REQUEST, ANSWER = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"


def test_it_is_the_protocol_of_its_first_bytes() -> None:
    spoken = everywhere(Tunnel, C(REQUEST), S(ANSWER))
    assert texts(spoken[Side.CLIENT]) == ["GET /"]
    assert texts(spoken[Side.SERVER]) == ["204 No Content"]


def test_bytes_of_no_protocol_are_one_message_a_side_however_many() -> None:
    spoken = said(Tunnel, C(b"\0" * 5003), S(b"\1" * 17), C(REQUEST))
    assert texts(spoken[Side.CLIENT]) == ["5,021 bytes of an unknown protocol"]
    assert texts(spoken[Side.SERVER]) == ["17 bytes of an unknown protocol"]
    assert (spoken[Side.CLIENT][0].start, spoken[Side.CLIENT][0].stop) == (0, 5021)


def test_a_gap_before_it_is_known_leaves_it_unknown() -> None:
    spoken = said(Tunnel, C(b"\0\0"), gap(Side.CLIENT, 11), C(REQUEST))
    assert texts(spoken[Side.CLIENT]) == ["31 bytes of an unknown protocol"]
    later = said(Tunnel, C(REQUEST), gap(Side.SERVER, 11), S(ANSWER))
    assert texts(later[Side.CLIENT]) == ["GET /"]
    assert later[Side.SERVER][-1].text == "204 No Content"
