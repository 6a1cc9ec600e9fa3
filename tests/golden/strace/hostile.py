"""Wrote hostile_yy.strace and hostile_xx.strace: names and contents that read like strace's lines.

strace -f -ttt -T -yy [-xx] -o LOG -e trace=network,desc,process python3 -I -S hostile.py
"""

import os
import socket

NAMES = [
    "a) = 5 <0.000001>", "b<c>d", "TCP:[1.2.3.4:5->6.7.8.9:10]", 'q"uote', "new\nline", "->",
    "socket:[12]>", "\x1b[31m", "<... read resumed>", "+++ exited with 0 +++",
    "unfinished <unfinished ...>", "-", "\udcff",
]  # fmt: skip
FOLDER = b"/tmp/hostile"


def main() -> None:
    os.makedirs(FOLDER, exist_ok=True)
    for name in NAMES:
        path = FOLDER + b"/" + os.fsencode(name)
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        os.write(fd, b") = 5 <0.000001>\n123 1700000000.000000 close(3) = 0 <0.1>")
        os.unlink(path)
        os.write(fd, b"<unfinished ...>")
        os.close(fd)
    near, far = socket.socketpair()
    near.send(b") = 5 <0.000001>")
    far.recv(100)
    for address in ('\0we]>ird"->, x<y', '/tmp/hostile/s]>"->y'):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect(address)
        server, _ = listener.accept()
        client.send(b"x")
        server.recv(3)
    os.unlink(address)
    os.rmdir(FOLDER)


main()
