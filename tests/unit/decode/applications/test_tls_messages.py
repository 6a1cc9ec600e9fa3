"""TLS by hand: records, handshake messages that share or cross them, and what stays sealed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import C, S, Turn, checked, cut, everywhere, gap, items, said, texts

from netlab.decode.applications.tls import APPLICATION, Tls
from netlab.decode.applications.tls_names import suite_name
from netlab.decode.applications.x509_names import subject
from netlab.model.tables import Side


def counted(size: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return len(body).to_bytes(size, "big") + body


def record(kind: int, body: bytes, version: bytes = b"\3\3") -> bytes:
    return bytes([kind]) + version + counted(2, body)


def handshake(kind: int, *parts: bytes) -> bytes:
    return bytes([kind]) + counted(3, *parts)


def extension(kind: int, *parts: bytes) -> bytes:
    return kind.to_bytes(2, "big") + counted(2, *parts)


RANDOM = bytes(range(32))
CLIENT_EXTENSIONS = (
    extension(0x1A1A)
    + extension(0, counted(2, b"\0", counted(2, b"example.org")))
    + extension(16, counted(2, counted(1, b"h2"), counted(1, b"http/1.1")))
    + extension(43, counted(1, b"\x2a\x2a\3\4\3\3"))
    + extension(10, counted(2, b"\0\x1d\0\x17"))
    + extension(13, counted(2, b"\4\3\x08\x04"))
    + extension(51, counted(2, b"\0\x1d", counted(2, bytes(32))))
    + extension(45, b"\1\1")
    + extension(23)
    + extension(0x1234, b"abc")
)
CLIENT_HELLO = handshake(
    1, b"\3\3", RANDOM, counted(1, b"session!"), counted(2, b"\x3a\x3a\x13\x01\xc0\x2f\x99\x99"),
    b"\1\0", counted(2, CLIENT_EXTENSIONS),
)  # fmt: skip


def server_hello(*extensions: bytes, suite: bytes = b"\xc0\x2f", random: bytes = RANDOM) -> bytes:
    more = counted(2, *extensions) if extensions else b""
    return handshake(2, b"\3\3", random, b"\0", suite, b"\0", more)


TLS_1_3 = extension(43, b"\3\4")


def test_a_client_hello_with_all_that_it_offers() -> None:
    stream = record(22, CLIENT_HELLO, b"\3\1")
    (said_,) = everywhere(Tls, C(stream))[Side.CLIENT]
    assert (said_.text, said_.fault) == ("client hello for example.org, h2, http/1.1", "")
    assert (said_.start, said_.stop) == (0, len(stream))
    assert items(said_) == {
        "content type": "handshake (22)",
        "record version": "TLS 1.0",
        "record length": f"{len(CLIENT_HELLO)} bytes",
    }
    (hello,) = said_.inner
    suites = [one.text for one in hello.items if one.name == "cipher suite"]
    assert suites == [
        "GREASE", "TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "0x9999",
    ]  # fmt: skip
    found = items(hello)
    assert found["session id"] == b"session!".hex()
    assert found["supported_versions"] == "GREASE, TLS 1.3, TLS 1.2"
    assert found["supported_groups"] == "x25519, secp256r1"
    assert found["signature_algorithms"] == "ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256"
    assert found["key_share"] == "x25519 (32 bytes)"
    assert found["psk_key_exchange_modes"] == "psk_dhe_ke"
    assert found["extended_master_secret"] == "present"
    assert found["0x1234"] == "3 bytes"
    checked(hello, stream, server_name=extension(0, counted(2, b"\0", counted(2, b"example.org"))),
            random=RANDOM, version=b"\3\3")  # fmt: skip


def test_a_server_hello_says_the_version_that_was_chosen() -> None:
    old = server_hello(extension(16, counted(2, counted(1, b"h2"))))
    (message,) = everywhere(Tls, S(record(22, old)))[Side.SERVER]
    assert message.text == "server hello, TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2"
    new = server_hello(TLS_1_3, extension(51, b"\0\x1d", counted(2, bytes(32))), suite=b"\x13\1")
    (message,) = everywhere(Tls, S(record(22, new)))[Side.SERVER]
    assert message.text == "server hello, TLS 1.3, TLS_AES_128_GCM_SHA256"
    assert items(message.inner[0])["key_share"] == "x25519 (32 bytes)"
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    again = server_hello(TLS_1_3, extension(51, b"\0\x17"), random=retry)
    (message,) = everywhere(Tls, S(record(22, again)))[Side.SERVER]
    assert message.text == "hello retry request, TLS 1.3"
    assert items(message.inner[0])["key_share"] == "secp256r1"


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + size + body


def name(oid: bytes, text: bytes, tag: int = 0x0C) -> bytes:
    return der(0x30, der(0x31, der(0x30, der(6, oid), der(tag, text))))


def certificate(whom: bytes) -> bytes:
    cn = b"\x55\x04\x03"
    body = der(0x30, der(0xA0, der(2, b"\2")), der(2, b"\1"), der(0x30), name(cn, b"Issuer"),
               der(0x30, bytes(30)), name(cn, whom), der(0x30, bytes(200)))  # fmt: skip
    return der(0x30, body, der(0x30), der(3, bytes(65)))


def test_a_certificate_names_its_subject_not_its_issuer() -> None:
    assert subject(certificate(b"example.org")) == "example.org"
    assert subject(certificate(b"example.org")[:-300]) == ""
    assert subject(b"") == ""
    utf16 = name(b"\x55\x04\x03", "ö.org".encode("utf-16-be"), 0x1E)
    one = der(0x30, der(0x30, der(2, b"\1"), der(0x30), der(0x30), der(0x30), utf16))
    assert subject(one) == "ö.org"


def test_messages_share_a_record_and_cross_records() -> None:
    chain = counted(3, counted(3, certificate(b"a.org")), counted(3, certificate(b"CA")))
    flight = server_hello() + handshake(11, chain) + handshake(
        12, b"\3\0\x17", counted(1, bytes(65)), bytes(70)) + handshake(14)  # fmt: skip
    at = len(server_hello()) + 100  # inside the certificate
    stream = (
        record(22, flight[:at]) + record(22, flight[at : at + 2]) + record(22, flight[at + 2 :])
    )
    (message,) = everywhere(Tls, S(stream))[Side.SERVER]
    assert (message.start, message.stop, message.fault) == (0, len(stream), "")
    assert texts(message.inner) == [
        "server hello, TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "certificate for a.org and 1 more", "server key exchange, secp256r1", "server hello done",
    ]  # fmt: skip
    assert message.text == "; ".join(texts(message.inner))
    hello, chained, key, done = message.inner
    assert stream[hello.start : hello.stop] == server_hello()
    assert stream[done.start : done.stop] == handshake(14)
    # It runs through three records: its end lies two record headers further on.
    assert chained.stop - chained.start == len(handshake(11, chain)) + 2 * 5
    assert stream[key.start] == 12
    checked(key, stream, group=b"\3\0\x17")


def test_what_follows_a_change_of_cipher_is_sealed_in_tls_1_2() -> None:
    sealed = handshake(20, bytes(12))  # as it happens, it looks like plain bytes
    stream = record(20, b"\1") + record(22, sealed) + record(23, bytes(99)) + record(21, bytes(26))
    spoken = everywhere(Tls, S(record(22, server_hello()) + stream), C(stream))
    assert texts(spoken[Side.CLIENT]) == [
        "change cipher spec", "encrypted handshake, 16 bytes", "application data, 99 bytes",
        "encrypted alert, 26 bytes",
    ]  # fmt: skip
    assert texts(spoken[Side.SERVER])[1:] == texts(spoken[Side.CLIENT])


def test_a_change_of_cipher_means_nothing_in_tls_1_3() -> None:
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    spoken = said(
        Tls, C(record(22, CLIENT_HELLO)), S(record(22, server_hello(TLS_1_3, random=retry))),
        C(record(20, b"\1") + record(22, CLIENT_HELLO)),
    )  # fmt: skip
    assert texts(spoken[Side.CLIENT])[2].startswith("client hello for example.org")


def test_without_the_hellos_a_sealed_message_is_not_taken_for_a_plain_one() -> None:
    sealed = b"\x14" + bytes(39)
    spoken = everywhere(Tls, C(record(20, b"\1") + record(22, sealed)))
    assert texts(spoken[Side.CLIENT])[1] == "encrypted handshake, 40 bytes"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\2\x28", "alert: handshake failure (fatal)"),
        (b"\1\0", "alert: close notify (warning)"),
        (b"\2\x78", "alert: no application protocol (fatal)"),
        (b"\3\xc8", "alert: alert 200 (3)"),
    ],
)
def test_alerts_by_name(body: bytes, text: str) -> None:
    assert texts(everywhere(Tls, S(record(21, body)))[Side.SERVER]) == [text]


def test_a_heartbeat_that_asks_for_more_than_it_brings_is_told() -> None:
    bleed = record(24, b"\1\x40\0")
    (message,) = everywhere(Tls, C(bleed))[Side.CLIENT]
    assert message.text == "heartbeat request"
    assert message.fault == "claims 16,384 bytes of payload, has 0"
    fair = record(24, b"\1\0\3abc" + bytes(16))
    assert everywhere(Tls, C(fair))[Side.CLIENT][0].fault == ""


def test_a_hello_in_the_form_of_ssl_2() -> None:
    old = b"\x80\x2e\1\3\1" + bytes(43)
    spoken = everywhere(Tls, C(old + record(21, b"\2\x46")))
    assert texts(spoken[Side.CLIENT]) == [
        "client hello in SSL 2.0's form, TLS 1.0", "alert: protocol version (fatal)",
    ]  # fmt: skip


def test_a_field_that_does_not_fit_is_a_fault_with_what_was_read_before_it() -> None:
    short = handshake(1, CLIENT_HELLO[4:60])
    (message,) = everywhere(Tls, C(record(22, short)))[Side.CLIENT]
    assert message.text == "client hello"
    assert "needs" in message.fault
    assert items(message.inner[0])["random"] == RANDOM.hex()


def test_an_end_inside_a_record_and_inside_a_message() -> None:
    stream = record(22, CLIENT_HELLO)
    (message,) = everywhere(Tls, C(stream[:100]))[Side.CLIENT]
    assert (message.text, message.fault) == ("handshake", f"100 of {len(stream)} bytes")
    (message,) = everywhere(Tls, C(record(22, CLIENT_HELLO[:100])))[Side.CLIENT]
    assert (message.text, message.fault) == (
        "client hello", "a handshake message without its end",
    )  # fmt: skip


def test_bytes_that_are_no_record_are_told_and_the_next_one_is_found() -> None:
    data = record(23, bytes(20))
    spoken = everywhere(Tls, C(record(23, b"abc") + b"GET / HTTP/1.1\r\n\r\n" + data + data))
    assert texts(spoken[Side.CLIENT]) == [
        "application data, 3 bytes", "bytes inside a record", "application data, 20 bytes",
        "application data, 20 bytes",
    ]  # fmt: skip


def test_behind_a_gap_the_next_record_is_found() -> None:
    data = record(23, bytes(20))
    turns = [C(data + data[:9]), gap(Side.CLIENT, 7), C(data[16:] + data + data)]
    spoken = said(Tls, *turns)[Side.CLIENT]
    assert texts(spoken) == [
        "application data, 20 bytes", "application data", "bytes inside a record",
        "application data, 20 bytes", "application data, 20 bytes",
    ]  # fmt: skip
    assert spoken[1].fault == "7 bytes were not captured"
    assert (spoken[-1].start, spoken[-1].stop) == (75, 100)


def test_content_that_can_only_be_tls_is_known() -> None:
    assert APPLICATION.likely(record(22, CLIENT_HELLO, b"\3\1"), b"")
    assert APPLICATION.likely(b"", record(22, server_hello()) + record(22, handshake(14)))
    assert not APPLICATION.likely(b"GET / HTTP/1.1\r\n", b"")
    assert not APPLICATION.likely(b"\x16\3\1\0\5\2", b"")
    assert not APPLICATION.likely(b"", b"")


def test_suites_have_their_registered_names() -> None:
    assert suite_name(0x1303) == "TLS_CHACHA20_POLY1305_SHA256"
    assert suite_name(0x00FF) == "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"
    assert suite_name(0x8A8A) == "GREASE"
    assert suite_name(0xFEFE) == "0xfefe"


def test_items_of_a_crossing_message_stand_where_their_bytes_are() -> None:
    at = 60  # inside the hello's cipher suites
    stream = record(22, CLIENT_HELLO[:at]) + record(22, CLIENT_HELLO[at:])
    (message,) = said(Tls, C(stream))[Side.CLIENT]
    (hello,) = message.inner
    share = extension(51, counted(2, b"\0\x1d", counted(2, bytes(32))))
    checked(hello, stream, key_share=share)


PIECES = st.sampled_from([
    record(22, CLIENT_HELLO), record(22, server_hello()), record(22, CLIENT_HELLO[:70]),
    record(22, CLIENT_HELLO[70:]), record(20, b"\1"), record(21, b"\2\x28"),
    record(23, bytes(50)), record(24, b"\1\x40\0"), record(22, b""), b"\x16\3", b"\x80\x10\1",
])  # fmt: skip
STREAM = st.lists(st.one_of(PIECES, st.binary(max_size=9)), max_size=6).map(b"".join)
TURN = st.builds(Turn, st.sampled_from(Side), STREAM.filter(bool))


@settings(max_examples=50)
@given(st.lists(TURN, max_size=4), st.sets(st.integers(1, 300), max_size=8))
def test_records_are_the_same_however_the_bytes_are_cut(
    turns: list[Turn], places: set[int]
) -> None:
    assert said(Tls, *cut(turns, *places)) == said(Tls, *turns)


@settings(max_examples=50)
@given(st.lists(st.one_of(TURN, st.builds(gap, st.sampled_from(Side), st.integers(1, 99)))))
def test_gaps_in_records_raise_nothing(turns: list[Turn]) -> None:
    said(Tls, *turns)


@given(st.binary(max_size=120), st.integers(1, 24))
def test_any_handshake_message_is_read_without_harm(body: bytes, kind: int) -> None:
    said(Tls, S(record(22, handshake(kind, body))))
