"""Small servers of SMTP, FTP and MQTT for curl to talk to, and curl: traffic to record.

Run as a program in a folder that holds `mail`; prints what curl gave back.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Callable

FILE = b"".join(number.to_bytes(3, "big") for number in range(31_337))  # a prime number of pieces
HOST = "127.0.0.1"


def listener(port: int, serve: Callable[[socket.socket], None]) -> None:
    server = socket.create_server((HOST, port))

    def work() -> None:
        while True:
            client, _ = server.accept()
            with client:
                serve(client)

    threading.Thread(target=work, daemon=True).start()


def mail(client: socket.socket) -> None:
    client.sendall(b"220 mail.example ESMTP\r\n")
    replies = {
        b"EHLO": b"250-mail.example\r\n250-SIZE 1000000\r\n250 AUTH PLAIN\r\n",
        b"AUTH": b"334 \r\n",
        b"MAIL": b"250 2.1.0 ok\r\n",
        b"RCPT": b"250 2.1.5 ok\r\n",
        b"DATA": b"354 go\r\n",
        b"QUIT": b"221 2.0.0 bye\r\n",
    }
    with client.makefile("rb") as lines:
        for line in lines:
            client.sendall(replies.get(line[:4], b"500 what\r\n"))
            if line.startswith(b"AUTH"):
                next(lines)
                client.sendall(b"235 2.7.0 ok\r\n")
            if line.startswith(b"DATA"):
                for part in lines:
                    if part == b".\r\n":
                        break
                client.sendall(b"250 2.0.0 queued as 4093\r\n")


def files(client: socket.socket) -> None:
    client.sendall(b"220-Hello\r\n220 FTP here\r\n")
    data = socket.create_server((HOST, 0))
    port = data.getsockname()[1]
    replies = {
        b"USER": b"331 who?\r\n", b"PASS": b"230 in\r\n", b"PWD": b'257 "/" is here\r\n',
        b"EPSV": b"229 Entering (|||%d|)\r\n" % port, b"TYPE": b"200 ok\r\n",
        b"SIZE": b"213 %d\r\n" % len(FILE), b"CWD": b"250 ok\r\n", b"QUIT": b"221 bye\r\n",
    }  # fmt: skip
    with client.makefile("rb") as lines:
        for line in lines:
            name = line.split()[0]
            if name == b"RETR":
                client.sendall(b"150 coming\r\n")
                with data.accept()[0] as one:
                    one.sendall(FILE)
                client.sendall(b"226 done\r\n")
            else:
                client.sendall(replies.get(name, b"500 what\r\n"))
    data.close()


def published(client: socket.socket) -> None:
    """A broker that grants what curl subscribes to, and publishes one message of 4093 bytes."""
    while head := client.recv(2, socket.MSG_WAITALL):
        body = client.recv(head[1], socket.MSG_WAITALL) if head[1] else b""
        kind = head[0] >> 4
        if kind == 1:
            client.sendall(b"\x20\x02\0\0")
        elif kind == 8:
            client.sendall(b"\x90\x03" + body[:2] + b"\0")
            payload = b"\0\x04here" + b"x" * 4093
            size = bytes((len(payload) & 0x7F | 0x80, len(payload) >> 7))
            client.sendall(b"\x30" + size + payload)
            client.shutdown(socket.SHUT_WR)
        elif kind == 14:
            return


def curl(*arguments: str) -> bytes:
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True)
    return done.stdout


def main() -> None:
    signal.alarm(50)  # a server that fails must not keep whoever waits for this program
    listener(2525, mail)
    listener(2121, files)
    listener(1883, published)
    curl("--url", f"smtp://{HOST}:2525/me.example", "--mail-from", "a@me.example", "--mail-rcpt",
         "b@you.example", "--mail-rcpt", "c@you.example", "--user", "a:secret",
         "--upload-file", "mail")  # fmt: skip
    got = curl(f"ftp://{HOST}:2121/folder/file")
    said = curl(f"mqtt://{HOST}/here")
    curl("-d", "hello", f"mqtt://{HOST}/there")
    print(len(got), len(said))


if __name__ == "__main__":
    main()
