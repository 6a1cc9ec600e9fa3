"""Records the pages that the tests read, anew, from the kernel at hand: run it as root.

`python tests/unit/capture/kernel/record_pages.py` writes pages.bin (whole pages, one after the
other; the last ones from a buffer that ran over), formats.txt and header_page.txt beside itself.
The golden text of what they hold is written by pytest --update-golden.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from netlab.capture.kernel.instance import Instance
from netlab.capture.kernel.tracefs import Tracefs

HERE = Path(__file__).resolve().parent
EVENTS = (
    "syscalls/sys_enter_sendto", "syscalls/sys_exit_sendto", "syscalls/sys_enter_recvfrom",
    "syscalls/sys_exit_recvfrom", "syscalls/sys_enter_connect", "syscalls/sys_exit_connect",
    "syscalls/sys_enter_close", "syscalls/sys_exit_close", "sock/sock_send_length",
    "sock/sock_recv_length", "sock/inet_sock_set_state", "tcp/tcp_probe", "tcp/tcp_send_reset",
    "tcp/tcp_receive_reset", "tcp/tcp_destroy_sock", "skb/kfree_skb", "task/task_newtask",
    "sched/sched_process_exit", "sched/sched_process_exec",
)  # fmt: skip


def _work(rounds: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    for _ in range(rounds):
        client.send(b"x" * 23)
        server.recv(100)
    listener.close()
    for one in (client, server):
        one.close()
    with socket.socket() as refused:
        refused.connect_ex(("127.0.0.1", 9))


def _recorded(tracefs: Tracefs, buffer_kb: int, rounds: int) -> tuple[list[bytes], list[str]]:
    instance = Instance.make(tracefs, "test", buffer_kb=buffer_kb)
    try:
        formats = [instance.enable(event) or "" for event in EVENTS]
        instance.filter_threads()
        instance.follow([os.getpid()])
        instance.start()
        _work(rounds)
        child = os.fork()
        if child == 0:
            os.execv("/bin/true", ["true"])
        os.waitpid(child, 0)
        instance.stop()
        pages = [page for at in range(len(instance.processors)) for page in instance.pages(at)]
    finally:
        instance.close()
    return pages, formats


def main() -> None:
    with Tracefs.open() as tracefs:
        (HERE / "header_page.txt").write_text(tracefs.read("events/header_page"))
        whole, formats = _recorded(tracefs, 1024, 3)
        lossy, _ = _recorded(tracefs, 4, 200)
    (HERE / "formats.txt").write_text("\n".join(formats))
    (HERE / "pages.bin").write_bytes(b"".join(whole + lossy[-2:]))


if __name__ == "__main__":
    main()
