"""Gaps, ends, what is handed over; replies that are joined to what they answer, or left alone."""

from __future__ import annotations

import pytest
from application_samples import (
    ANSWER,
    POSTGRES,
    QUERY,
    REDIS,
    TALKS,
    dns_tcp,
    h,
    pg,
    pg_start,
    protocol_of,
)
from spoken import C, S, Spoken, Turn, gap, items, said, texts
from test_tls_messages import CLIENT_HELLO, record, server_hello

from netlab.decode.applications.registry import by_name
from netlab.model.tables import Side

CLIENT, SERVER = Side.CLIENT, Side.SERVER
HELLO, ANSWERED = record(22, CLIENT_HELLO), record(22, server_hello())


def spoken(name: str, *turns: Turn, starts: int = 0) -> Spoken:
    make = by_name(name).conversation
    assert make is not None
    return said(make, *turns, starts=starts)


def faults(found: Spoken, side: Side) -> list[str]:
    return [one.fault for one in found[side]]


# -- handing over ---------------------------------------------------------------------------------


def test_smtp_hands_over_to_tls_what_both_sides_say_next() -> None:
    found = spoken(
        "smtp", S(b"220 mx ESMTP\r\n"), C(b"STARTTLS\r\n"), S(b"220 Go\r\n"), C(HELLO), S(ANSWERED)
    )
    assert [one.protocol for one in found[CLIENT]] == ["SMTP", "TLS"]
    assert found[CLIENT][1].start == 10
    assert found[CLIENT][1].text.startswith("client hello for ")
    assert [one.protocol for one in found[SERVER]] == ["SMTP", "SMTP", "TLS"]


def test_smtp_holds_what_came_before_the_server_agreed() -> None:
    """A client that does not wait: its bytes are TLS if the server agrees, else commands."""
    agreed = spoken("smtp", C(b"STARTTLS\r\n" + HELLO), S(b"220 Go\r\n"), C(b""))
    assert [one.protocol for one in agreed[CLIENT]] == ["SMTP", "TLS"]
    refused = spoken("smtp", C(b"STARTTLS\r\nQUIT\r\n"), S(b"454 no\r\n"))
    assert texts(refused[CLIENT]) == ["STARTTLS", "QUIT"]
    unheard = spoken("smtp", C(b"STARTTLS\r\nQUIT\r\n"))
    assert texts(unheard[CLIENT]) == ["STARTTLS", "QUIT"]


def test_ftp_hands_over_to_tls() -> None:
    found = spoken("ftp", S(b"220 FTP\r\n"), C(b"AUTH TLS\r\n"), S(b"234 Go\r\n"), C(HELLO))
    assert [one.protocol for one in found[CLIENT]] == ["FTP", "TLS"]
    refused = spoken("ftp", C(b"AUTH TLS\r\n"), S(b"502 no\r\n"), C(b"QUIT\r\n"))
    assert texts(refused[CLIENT]) == ["AUTH TLS", "QUIT"]


def test_postgres_hands_over_to_tls() -> None:
    found = spoken("postgres", C(POSTGRES[0][1]), S(b"S"), C(HELLO), S(ANSWERED))
    assert [one.protocol for one in found[CLIENT]] == ["PostgreSQL", "TLS"]
    assert texts(found[SERVER])[0] == "TLS: yes"
    assert found[SERVER][1].protocol == "TLS"


def test_postgres_that_is_encrypted_otherwise_is_counted() -> None:
    found = spoken("postgres", C(h("00000008 04d21630")), S(b"G"), C(b"sealed"), S(b"too"), C(b"!"))
    assert texts(found[CLIENT]) == ["GSSAPI encryption?", "7 bytes that are not read"]
    assert faults(found, CLIENT)[1] == "encrypted by GSSAPI"
    assert texts(found[SERVER]) == ["GSSAPI encryption: yes", "3 bytes that are not read"]


def test_an_old_server_answers_an_ssl_request_with_an_error() -> None:
    error = pg("E", b"SFATAL\0C0A000\0Munsupported frontend protocol\0\0")
    found = spoken("postgres", C(POSTGRES[0][1]), S(error), C(pg_start(b"user", b"me")))
    assert texts(found[SERVER]) == ["fatal error 0A000: unsupported frontend protocol"]
    assert texts(found[CLIENT])[1] == "startup 3.0 as me, database me"


# -- gaps -----------------------------------------------------------------------------------------


def test_a_gap_within_a_body_only_counts() -> None:
    """What is passed over anyway need not be there."""
    length = 4096
    found = spoken(
        "redis", C(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % length), C(b"v" * 2048),
        gap(CLIENT, 1000), C(b"v" * 1048 + b"\r\n*1\r\n$4\r\nPING\r\n"),
    )  # fmt: skip
    assert texts(found[CLIENT]) == ["SET k (4,096 bytes)", "PING"]
    assert faults(found, CLIENT) == ["1,000 of its bytes are in no frame", ""]
    published = spoken(
        "mqtt", C(h("30 80 80 08 0001 74")), C(b"v" * 70_000), gap(CLIENT, 50_000),
        C(b"v" * 11_069 + h("c000")),
    )  # fmt: skip
    assert texts(published[CLIENT]) == ["publish t: 131,069 bytes, QoS 0", "ping"]
    assert faults(published, CLIENT) == ["50,000 of its bytes are in no frame", ""]


RESUMED = [
    ("redis", b"*2\r\n$3\r\nGET\r\n$1\r\n", b"k\r\n", b"*1\r\n$4\r\nPING\r\n", "PING"),
    ("postgres", pg("Q", b"SELECT 1\0")[:9], b"CT 1\0", pg("X"), "goodbye"),
    ("mqtt", h("10 0d 0004 4d515454 04 02"), h("003c 0001"), h("c000"), "ping"),
    ("smtp", b"MAIL FRO", b"M:<a@b>\r\n", b"QUIT\r\n", "QUIT"),
    ("ftp", b"RET", b"R x\r\n", b"QUIT\r\n", "QUIT"),
    ("dns", dns_tcp(QUERY)[:9], dns_tcp(QUERY)[9:], dns_tcp(QUERY), "A www.example.com?"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "begun", "gone", "then", "text"), RESUMED)
def test_reading_goes_on_behind_a_gap(
    name: str, begun: bytes, gone: bytes, then: bytes, text: str
) -> None:
    found = spoken(name, C(begun), gap(CLIENT, len(gone)), C(then))
    assert found[CLIENT][0].fault.endswith(", then bytes that no frame holds")
    assert found[CLIENT][0].stop == len(begun)
    assert (texts(found[CLIENT])[1:], faults(found, CLIENT)[1:]) == ([text], [""])


@pytest.mark.parametrize("talk", TALKS)
def test_what_cannot_be_read_behind_a_gap_is_one_message(talk: str) -> None:
    """Bytes that begin no message are told and counted, until some do."""
    found = spoken(protocol_of(talk), gap(CLIENT, 10), C(b"\xfe\xfe"), C(b"\xfe" * 5))
    assert texts(found[CLIENT]) == ["7 bytes that are not read"]
    assert faults(found, CLIENT) == ["the beginning of their message is in no frame"]
    assert (found[CLIENT][0].start, found[CLIENT][0].stop) == (10, 17)


def test_malformed_bytes_end_the_reading_of_their_side_only() -> None:
    found = spoken("redis", C(b"*1\r\n$4\r\nPING\r\n"), S(b"?what\r\n+PONG\r\n"), C(b"GET a\r\n"))
    assert texts(found[CLIENT]) == ["PING", "GET a"]
    assert texts(found[SERVER]) == ["no Redis message", "7 bytes that are not read"]
    assert faults(found, SERVER) == [
        "no value begins with '?what'",
        "behind bytes that could not be read: no value begins with '?what'",
    ]
    assert (found[SERVER][0].start, found[SERVER][1].stop) == (0, 14)


def test_a_side_is_read_again_once_the_other_was_understood() -> None:
    """The capture began in the middle of a reply: the next one is read, and joined to nothing."""
    found = spoken(
        "redis", S(b"lue\r\n"), S(b"+no\r\n"), C(b"GET a\r\n"), S(b"$1\r\nx\r\n"),
        C(b"GET b\r\n"), S(b"$1\r\ny\r\n"),
    )  # fmt: skip
    assert texts(found[SERVER]) == ["no Redis message", "5 bytes that are not read", "x", "y"]
    assert texts(found[CLIENT]) == ["GET a", "GET b"]


def test_two_sides_that_speak_another_protocol_are_not_read_again() -> None:
    found = spoken("redis", C(b"\1\r\n"), S(b"\3\r\n"), C(b"PING\r\n"), S(b"+OK\r\n"))
    assert len(found[CLIENT]) == len(found[SERVER]) == 2
    assert all(one.fault for side in Side for one in found[side])


def test_streams_need_not_begin_at_zero() -> None:
    found = spoken("dns", C(dns_tcp(QUERY)), S(dns_tcp(ANSWER)), starts=4093)
    assert found[SERVER][0].start == 4093
    assert items(found[SERVER][0])["question 1 name"] == "www.example.com"


# -- what a reply answers -------------------------------------------------------------------------


def test_redis_without_replies_joins_none() -> None:
    found = spoken("redis", C(b"CLIENT REPLY SKIP\r\nINCR a\r\nGET b\r\n"), S(b"$1\r\nx\r\n"))
    assert texts(found[SERVER]) == ["x"]


def test_redis_joined_late_joins_none() -> None:
    found = spoken("redis", S(b"+OK\r\n"), C(b"GET a\r\n"), S(b"$1\r\nx\r\n"))
    assert texts(found[SERVER]) == ["OK", "x"]


def test_a_subscription_that_is_refused_takes_one_reply() -> None:
    found = spoken("redis", C(b"SUBSCRIBE a b\r\nPING\r\n"), S(b"-NOAUTH no\r\n+PONG\r\n"))
    assert texts(found[SERVER]) == ["SUBSCRIBE a: error NOAUTH no", "PING: PONG"]


def test_leaving_all_channels_is_confirmed_for_each() -> None:
    def confirmed(word: str, channel: str, left: int) -> bytes:
        return b"*3\r\n$%d\r\n%s\r\n$1\r\n%s\r\n:%d\r\n" % (
            len(word), word.encode(), channel.encode(), left)  # fmt: skip

    found = spoken(
        "redis", C(b"SUBSCRIBE a b\r\nUNSUBSCRIBE\r\nGET c\r\n"),
        S(confirmed("subscribe", "a", 1) + confirmed("subscribe", "b", 2)
          + confirmed("unsubscribe", "a", 1) + confirmed("unsubscribe", "b", 0) + b":1\r\n"),
    )  # fmt: skip
    assert texts(found[SERVER]) == [
        "subscribed to a, 1 subscription now",
        "subscribed to b, 2 subscriptions now",
        "unsubscribed from a, 1 subscription now",
        "unsubscribed from b, 0 subscriptions now",
        "GET c: 1",
    ]


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"*2\r\n*2\r\n:1\r\n:2\r\n$-1\r\n", "2 values: 1, 2, nil"),
        (b"*-1\r\n", "nil"),
        (b"*0\r\n", "0 values"),
        (b"%1\r\n+a\r\n*1\r\n:1\r\n", "1 pair: a, 1"),
        (b"$?\r\n;3\r\nabc\r\n;2\r\nde\r\n;0\r\n", "abcde"),
        (b"*?\r\n:1\r\n:2\r\n.\r\n", "values up to an end mark: 1, 2"),
        (b"|1\r\n+ttl\r\n:3\r\n:7\r\n", "7"),
        (b"(3492890328409238509324850943850943825024385\r\n",
         "3492890328409238509324850943850943825024385"),
        (b"!11\r\nSYNTAX oops\r\n", "error SYNTAX oops"),
        (b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", "push: 2 values: invalidate, k"),
        (b"$4\r\n\xff\0\1\2\r\n", "(4 bytes)"),
    ],
)  # fmt: skip
def test_redis_values(reply: bytes, text: str) -> None:
    found = spoken("redis", S(reply))
    assert (texts(found[SERVER]), faults(found, SERVER)) == ([text], [""])
    assert len(items(found[SERVER][0])) >= 1


def test_redis_inline_words_in_quotes() -> None:
    found = spoken("redis", C(b"""  set "a b" 'c d' e\r\n"""))
    assert texts(found[CLIENT]) == ['SET "a b" "c d" e']


def test_the_first_redis_talk_is_all_joined() -> None:
    found = spoken("redis", *(Turn(side, data) for side, data in REDIS))
    assert [items(one).get("answers") for one in found[SERVER]] == [
        "SET key 1", "GET key 1", "PING", "HELLO 3", "NOPE", None, None, None, "PING",
    ]  # fmt: skip


def test_smtp_data_without_its_reply() -> None:
    """Only the client was captured: a mail is what is no command behind DATA."""
    short = spoken("smtp", C(b"DATA\r\nQUIT\r\n"))
    assert texts(short[CLIENT]) == ["DATA", "QUIT"]
    long = spoken(
        "smtp", C(b"DATA\r\n"), *(C(b"x" * 998 + b"\r\n") for _ in range(97)), C(b".\r\n")
    )
    assert texts(long[CLIENT]) == ["DATA", "a mail: 97 lines, 97,000 bytes"]


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        (b".\r\n", "a mail: 0 lines, 0 bytes"),
        (b"\r\n.\r\n", "a mail: 1 line, 2 bytes"),
        (b"Subject: a\r\n.\r\n", 'a mail "a": 1 line, 12 bytes'),
        (b"To: b\r\n\r\nx\r\n..\r\n\r\n.\r\n", "a mail: 5 lines, 18 bytes"),
        (b"To: b\r\n\r\nx\n.\ny\r\n.\r\n", "a mail: 5 lines, 16 bytes"),
    ],
)
def test_a_mail_ends_with_a_dot_between_line_ends(mail: bytes, text: str) -> None:
    """A bare LF ends no line: a dot between two of them is a line of the mail."""
    found = spoken("smtp", C(b"DATA\r\n"), S(b"354 go\r\n"), C(mail + b"QUIT\r\n"))
    assert texts(found[CLIENT]) == ["DATA", text, "QUIT"]


def test_a_mail_that_is_refused_is_no_mail() -> None:
    found = spoken("smtp", C(b"DATA\r\n"), S(b"503 first RCPT\r\n"), C(b"RSET\r\n"))
    assert texts(found[CLIENT]) == ["DATA", "RSET"]
    assert texts(found[SERVER]) == ["DATA: 503 first RCPT"]


def test_rows_are_counted_up_to_the_end_of_the_capture() -> None:
    row = pg("D", h("0001 00000001") + b"1")
    found = spoken("postgres", S(row * 23))
    assert (texts(found[SERVER]), faults(found, SERVER)) == (["23 rows, 161 bytes"], [""])
    cut = spoken("postgres", S(row * 23 + row[:7]))
    assert texts(cut[SERVER]) == ["23 rows, 161 bytes"]
    assert faults(cut, SERVER) == ["283 of 288 bytes, then the end"]


def test_mqtt_without_its_beginning_leaves_unsaid_what_only_a_version_tells() -> None:
    subscribe = h("82 08 000a 0003") + b"a/b" + h("01")
    found = spoken("mqtt", C(subscribe), S(h("90 03 000a 01")))
    assert texts(found[CLIENT]) == ["subscribe id 10"]
    assert found[CLIENT][0].protocol == "MQTT"
    older = spoken("mqtt", S(h("20 02 00 00")), C(subscribe), S(h("90 03 000a 01")))
    assert texts(older[CLIENT]) == ["subscribe id 10: a/b QoS 1"]
    assert texts(older[SERVER])[1] == "subscribed id 10: QoS 1"
    five = spoken("mqtt", S(h("20 03 00 00 00")), C(h("30 05 0001 74 00 31")))
    assert (five[CLIENT][0].protocol, five[CLIENT][0].text) == (
        "MQTT 5", "publish t: 1 (1 byte), QoS 0",
    )  # fmt: skip
