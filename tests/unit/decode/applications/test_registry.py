"""Which protocol it is: by content before port, by name, imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.decode.applications.registry import (
    _WHERE,
    APPLICATIONS,
    by_name,
    guess_datagrams,
    guess_stream,
)
from netlab.model.errors import UsageError

REQUEST, ANSWER = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
HELLO = bytes.fromhex("1603010005" + "0100000100")


def test_every_protocol_is_registered_under_its_own_name() -> None:
    for name, application in APPLICATIONS.items():
        assert application.name == name
        assert application.conversation or application.datagram
        where = _WHERE[name]
        assert application.tcp_ports == set(where.tcp or ())
        assert application.udp_ports == set(where.udp or ())
        assert (application.conversation is None) is (where.tcp is None)
        assert (application.datagram is None) is (where.udp is None)
        assert not application.likely(b"", b"")


def test_content_beats_port_and_port_decides_where_content_does_not() -> None:
    def known(client: bytes, server: bytes, port: int | None) -> tuple[str, str] | None:
        found = guess_stream(client, server, port)
        return None if found is None else (found.application.name, found.how)

    assert known(REQUEST, ANSWER, 80) == ("http", "content and port")
    assert known(REQUEST, ANSWER, 443) == ("http", "content")
    assert known(HELLO, b"", 80) == ("tls", "content")
    assert known(b"", ANSWER, None) == ("http", "content")
    assert known(b"\0\0\0", b"", 443) == ("tls", "port")
    assert known(b"\0\0\0", b"", 4999) is None
    assert guess_datagrams(b"\0", b"", (4999, 4998)) is None


def test_a_name_that_there_is_not_is_refused_with_the_nearest() -> None:
    assert by_name("HTTP") is APPLICATIONS["http"]
    with pytest.raises(UsageError) as caught:
        by_name("htpt")
    assert "no protocol 'htpt'" in str(caught.value)
    assert caught.value.hint == "did you mean http?"
    with pytest.raises(UsageError) as caught:
        by_name("?")
    assert "http" in caught.value.hint
    assert "tls" in caught.value.hint


def test_a_protocol_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys;"
        "from netlab.decode.applications.registry import guess_stream as guess;"
        "guess(b'GET / HTTP/1.1\\r\\n\\r\\n', b'', 80); room = 'netlab.decode.applications.';"
        "assert room + 'http1' in sys.modules; assert room + 'tls' not in sys.modules;"
        "assert 'hpack' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_harm_a_guess(client: bytes, server: bytes) -> None:
    guess_stream(client, server, 80)
    guess_datagrams(client, server, (53, 123))
