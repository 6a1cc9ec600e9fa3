"""Wrote talk_yy, talk_y_s0 and talk_bare.strace: a program that speaks with itself in every way.

strace -f -ttt -T [-yy -s 16 | -y -s 0 | -s 24] -o LOG -e trace=network,desc,process python3 -I -S
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import threading
import time


def main():
    ls = socket.socket()
    ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ls.bind(("127.0.0.1", 0))
    ls.listen(5)
    c = socket.socket()
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    c.connect(ls.getsockname())
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s, _a = ls.accept()
    c.send(b'hello\x00\x1b[31m"quoted" \\ world')
    s.recv(3, socket.MSG_PEEK)
    s.recv(100)
    c.sendmsg([b"abc", b"defg"])
    s.recvmsg(100, 100)
    os.write(c.fileno(), b"x" * 50)
    os.read(s.fileno(), 20)
    os.readv(s.fileno(), [bytearray(10), bytearray(40)])
    os.writev(c.fileno(), [b"1" * 40, b"22"])
    ep = select.epoll()
    ep.register(s, select.EPOLLIN | select.EPOLLET)
    ep.poll(1)
    p = select.poll()
    p.register(s, select.POLLIN)
    p.register(ls, select.POLLIN)
    p.poll(0)
    select.select([s, ls], [c], [s], 1)
    s.recv(1000)
    s.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        s.recv(10)
    f = open("/etc/services", "rb")  # noqa: SIM115
    os.sendfile(c.fileno(), f.fileno(), 0, 500)
    r, w = os.pipe()
    os.splice(s.fileno(), w, 300)
    os.splice(r, c.fileno(), 100)
    u1, u2 = socket.socketpair()
    socket.send_fds(u1, [b"F"], [s.fileno(), 1])
    _, fds, _, _ = socket.recv_fds(u2, 10, 5)
    print(fds)
    os.write(fds[0], b"via passed")
    os.dup(c.fileno())
    os.dup2(c.fileno(), 50)
    fcntl.fcntl(c, fcntl.F_DUPFD_CLOEXEC, 60)
    pid = os.fork()
    if pid == 0:
        os.write(c.fileno(), b"child")
        os.dup2(c.fileno(), 1)
        os.execv("/bin/echo", ["echo", "hi there"])
    os.waitpid(pid, 0)

    def t():
        c.send(b"thread")

    th = threading.Thread(target=t)
    th.start()
    th.join()
    ud = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ud.bind(("127.0.0.1", 0))
    ud.sendto(b"dg", ud.getsockname())
    ud.recvfrom(100)
    u6 = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    u6.bind(("::", 0))
    u6.listen(1)
    x = socket.create_connection(("127.0.0.1", u6.getsockname()[1]))
    y, _ = u6.accept()
    x.send(b"v6")
    y.recv(10)
    y.shutdown(socket.SHUT_WR)
    x.recv(10)
    un = socket.socket(socket.AF_UNIX)
    un.bind("\x00abs")
    un.listen(1)
    uc = socket.socket(socket.AF_UNIX)
    uc.connect("\x00abs")
    us, _ = un.accept()
    uc.send(b"unix")
    us.recv(10)
    signal.signal(signal.SIGALRM, lambda *a: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    p.poll(50)
    signal.setitimer(signal.ITIMER_REAL, 0.02)

    def t2():
        time.sleep(0.05)
        c.send(b"late")

    th = threading.Thread(target=t2)
    th.start()
    s.setblocking(True)
    s.recv(1000)
    s.recv(1000)
    th.join()
    c.close()
    s.close()
    os._exit(3)


main()
