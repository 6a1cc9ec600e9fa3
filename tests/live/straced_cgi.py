"""A threaded server that lets other programs write on its connections, and clients of it.

Run by test_strace.py under strace: subprocess makes its children by vfork, sh makes a pipeline, and
bash has a connection of its own.
"""

from __future__ import annotations

import socket
import subprocess
import threading

HELLO = "echo hello; echo netlab | tr a-z A-Z"


def answer(connection: socket.socket) -> None:
    with connection:
        if connection.recv(100).startswith(b"run"):
            subprocess.run(["/bin/sh", "-c", HELLO], stdout=connection, check=True)
        else:
            connection.sendall(b"x" * 300_007)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(10)


def serve(listener: socket.socket, count: int) -> None:
    threads = []
    for _ in range(count):
        connection, _ = listener.accept()
        threads.append(threading.Thread(target=answer, args=(connection,)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = threading.Thread(target=serve, args=(listener, 5))
    server.start()
    for word in (b"run", b"big", b"run", b"big"):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.send(word)
            print(sum(map(len, iter(lambda: client.recv(65536), b""))), flush=True)
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; echo run >&3; cat <&3 | wc -c"
    subprocess.run(["/bin/bash", "-c", script], check=True)
    server.join()


main()
