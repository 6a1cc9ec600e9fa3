"""What clients and servers said, byte for byte, in protocols of applications: written by hand.

A script is a list of a side and what it sent then; `play` has a conversation read it, in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.decode.applications.message import Application, Said
from netlab.decode.applications.registry import by_name
from netlab.model.tables import Side

C, S = Side.CLIENT, Side.SERVER
Script = Sequence[tuple[Side, bytes]]


def h(text: str) -> bytes:
    """Bytes from hex; spaces are for people."""
    return bytes.fromhex(text)


def play(
    application: Application | str, script: Script, step: int = 0, cuts: Sequence[int] = ()
) -> dict[Side, list[Said]]:
    """What each side said, when its bytes come in pieces of `step` (0: as in the script).

    `cuts`: sizes of pieces, taken in turn.
    """
    chosen = by_name(application) if isinstance(application, str) else application
    assert chosen.conversation is not None
    talk = chosen.conversation()
    said: dict[Side, list[Said]] = {C: [], S: []}
    at = {C: 0, S: 0}
    for side, data in script:
        for piece in _pieces(data, step, cuts):
            said[side] += talk.feed(side, piece, at[side])
            at[side] += len(piece)
    for side in Side:
        said[side] += talk.end(side)
    return said


def _pieces(data: bytes, step: int, cuts: Sequence[int]) -> Iterator[bytes]:
    if cuts:
        at = 0
        turn = 0
        while at < len(data):
            size = max(1, cuts[turn % len(cuts)])
            yield data[at : at + size]
            at, turn = at + size, turn + 1
        return
    step = step or max(1, len(data))
    for at in range(0, len(data), step):
        yield data[at : at + step]


def texts(said: dict[Side, list[Said]], side: Side) -> list[str]:
    """Each message in one line, with its fault."""
    return [one.text + (f" | {one.fault}" if one.fault else "") for one in said[side]]


def pg(letter: str, body: bytes = b"") -> bytes:
    """A message of PostgreSQL with its type and length."""
    return letter.encode() + (len(body) + 4).to_bytes(4, "big") + body


def pg_start(*settings: bytes) -> bytes:
    """The first message of a session."""
    body = h("00030000") + b"".join(one + b"\0" for one in settings) + b"\0"
    return (len(body) + 4).to_bytes(4, "big") + body


def dns_tcp(*messages: bytes) -> bytes:
    """Messages of DNS with their lengths before them."""
    return b"".join(len(one).to_bytes(2, "big") + one for one in messages)


QUERY = (
    h("1234 0100 0001 0000 0000 0001")
    + b"\3www\7example\3com\0"
    + h("0001 0001 00 0029 04d0 00000000 0000")
)
ANSWER = h("1234 8180 0001 0002 0000 0000") + b"\3www\7example\3com\0" + h(
    "0001 0001 c00c 0005 0001 00000e10 0006 03") + b"web" + h(
    "c010 c02d 0001 0001 0000012c 0004 5db8d822"
)  # fmt: skip

REDIS = [
    (C, b"*3\r\n$3\r\nSET\r\n$5\r\nkey 1\r\n$12\r\nhello, world\r\n"
     b"*2\r\n$3\r\nget\r\n$5\r\nkey 1\r\n"),
    (S, b"+OK\r\n$12\r\nhello, world\r\n"),
    (C, b"PING\r\n"),
    (S, b"+PONG\r\n"),
    (C, b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$4\r\nNOPE\r\n"),
    (S, b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n-ERR unknown command\r\n"),
    (C, b"*3\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n$5\r\nsport\r\n"),
    (S, b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
     b">3\r\n$9\r\nsubscribe\r\n$5\r\nsport\r\n:2\r\n"),
    (S, b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n"),
    (C, b"*1\r\n$4\r\nPING\r\n"),
    (S, b"|1\r\n+ttl\r\n:3600\r\n*5\r\n:1\r\n#t\r\n_\r\n,1.5\r\n~1\r\n=5\r\ntxt:a\r\n"),
]  # fmt: skip
POSTGRES = [
    (C, h("00000008 04d2162f")),
    (S, b"N"),
    (C, pg_start(b"user", b"me", b"database", b"shop")),
    (S, pg("R", h("0000000a") + b"SCRAM-SHA-256\0\0")),
    (C, pg("p", b"SCRAM-SHA-256\0" + h("00000003") + b"n,,")),
    (S, pg("R", h("0000000b") + b"r=x") + pg("R", h("0000000c") + b"v=y") + pg("R", h("00000000"))),
    (S, pg("S", b"TimeZone\0UTC\0") + pg("K", h("00001001 0badcafe")) + pg("Z", b"I")),
    (C, pg("Q", b"SELECT 1\0")),
    (S, pg("T", h("0001") + b"n\0" + h("00000000 0000 00000017 0004 ffffffff 0000"))
     + pg("D", h("0001 00000001") + b"1") + pg("C", b"SELECT 1\0") + pg("Z", b"I")),
    (C, pg("P", b"s1\0SELECT * FROM t WHERE id = $1\0" + h("0001 00000017")) + pg(
        "B", b"\0s1\0" + h("0000 0001 00000001") + b"5" + h("0000")) + pg("D", b"P\0") + pg(
        "E", b"\0" + h("00000000")) + pg("S")),
    (S, pg("1") + pg("2") + pg("n") + pg("D", h("0000")) * 3
     + pg("C", b"SELECT 3\0") + pg("Z", b"T")),
    (C, pg("Q", b"SELECT * FROM x\0")),
    (S, pg("E", b"SERROR\0VERROR\0C42P01\0Mrelation \"x\" does not exist\0P15\0\0")
     + pg("Z", b"E")),
    (C, pg("Q", b"COPY t FROM STDIN\0")),
    (S, pg("G", h("00 0002 0000 0000"))),
    (C, pg("d", b"1\ta\n") + pg("d", b"2\tb\n") + pg("c")),
    (S, pg("C", b"COPY 2\0") + pg("A", h("00000007") + b"news\0hello\0")),
    (C, pg("X")),
]  # fmt: skip
MQTT_3 = [
    (C, h("10 1a 0004") + b"MQTT" + h("04 06 003c 0002") + b"c1" + h("0004") + b"last" + h(
        "0004") + b"gone"),
    (S, h("20 02 01 00")),
    (C, h("82 0e 000a 0003") + b"a/b" + h("01 0003") + b"c/#" + h("02")),
    (S, h("90 04 000a 01 80")),
    (C, h("32 0a 0003") + b"a/b" + h("0007") + b"21." + h("c0 00")),
    (S, h("40 02 0007 d0 00 31 05 0001") + b"t" + b"on"),
    (C, h("34 06 0001") + b"q" + h("0008") + b"x"),
    (S, h("50 02 0008")),
    (C, h("62 02 0008")),
    (S, h("70 02 0008")),
    (C, h("a2 07 000b 0003") + b"a/b" + h("e0 00")),
    (S, h("b0 02 000b")),
]  # fmt: skip
MQTT_5 = [
    (C, h("10 16 0004") + b"MQTT" + h("05 02 000a 05 11 00000e10 0004") + b"five"),
    (S, h("20 0d 00 00 0a 12 0002") + b"me" + h("21 000a 2a01")),
    (C, h("30 0b 0001") + b"t" + h("03 23 0001") + b"abcd"),
    (C, h("30 08 0000 03 23 0001") + b"ef"),
    (C, h("82 0a 0001 02 0b05 0002") + b"x/" + h("2d")),
    (S, h("90 05 0001 00 00 97")),
    (S, h("e0 02 8e 00")),
]  # fmt: skip
SMTP = [
    (S, b"220 mx.example.com ESMTP\r\n"),
    (C, b"EHLO me.example.org\r\n"),
    (S, b"250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"),
    (C, b"AUTH LOGIN\r\n"),
    (S, b"334 VXNlcm5hbWU6\r\n"),
    (C, b"Ym9i\r\n"),
    (S, b"235 2.7.0 Authentication successful\r\n"),
    (C, b"MAIL FROM:<a@b.c> SIZE=100\r\nRCPT TO:<d@e.f>\r\nDATA\r\n"),
    (S, b"250 2.1.0 Ok\r\n550 5.1.1 No such user\r\n354 Go ahead\r\n"),
    (C, b"Subject: hi\r\nFrom: a\r\n\r\nhello\r\n..\r\n.\r\nSTARTTLS\r\n"),
    (S, b"250 2.0.0 queued as 123\r\n454 4.7.0 TLS not available\r\n"),
    (C, b"BDAT 10 LAST\r\n01234567\r\nQUIT\r\n"),
    (S, b"250 ok\r\n221 2.0.0 Bye\r\n"),
]
FTP = [
    (S, b"220-Welcome\r\n 300 files\r\n220 ftp.example.com FTP server\r\n"),
    (C, b"USER anonymous\r\n"),
    (S, b"331 Please specify the password.\r\n"),
    (C, b"PASV\r\n"),
    (S, b"227 Entering Passive Mode (192,0,2,1,15,253).\r\n"),
    (C, b"EPSV\r\n"),
    (S, b"229 Entering Extended Passive Mode (|||4093|)\r\n"),
    (C, b"EPRT |2|2001:db8::1|4093|\r\nPORT 127,0,0,1,4,1\r\n"),
    (S, b"200 ok\r\n500 no\r\n"),
    (C, b"RETR a file.txt\r\n"),
    (S, b"150 Opening\r\n226 Transfer complete\r\n"),
]
MEMCACHED = [
    (C, b"set key 5 3600 12\r\nhello, world\r\nget key other\r\n"),
    (S, b"STORED\r\nVALUE key 5 12\r\nhello, world\r\nEND\r\n"),
    (C, b"add key 0 0 1\r\nx\r\nget nothing\r\nset quiet 0 0 2 noreply\r\n\r\n\r\n"),
    (S, b"NOT_STORED\r\nEND\r\n"),
    (C, b"incr number 23\r\ndelete key\r\nnope\r\n"),
    (S, b"119\r\nDELETED\r\nERROR\r\n"),
    (C, b"gets key\r\nstats\r\nversion\r\n"),
    (S, b"VALUE key 0 1 97\r\nx\r\nEND\r\nSTAT pid 1\r\nSTAT uptime 2\r\nEND\r\nVERSION 1.6\r\n"),
    (C, b"ms key 2 T60\r\nab\r\nmg key v\r\nmn\r\nquit\r\n"),
    (S, b"HD\r\nVA 2\r\nab\r\nMN\r\n"),
]
DNS = [(C, dns_tcp(QUERY, QUERY)), (S, dns_tcp(ANSWER, ANSWER))]

TALKS: dict[str, Script] = {
    "redis": REDIS, "postgres": POSTGRES, "mqtt 3": MQTT_3, "mqtt 5": MQTT_5, "smtp": SMTP,
    "ftp": FTP, "memcached": MEMCACHED, "dns": DNS,
}  # fmt: skip


def protocol_of(talk: str) -> str:
    """The word for the protocol of a talk."""
    return talk.partition(" ")[0]
