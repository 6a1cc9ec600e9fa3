"""Programs that several studies run, and the ways in which they are run."""

from __future__ import annotations

from netlab.model.probe import Probe
from netlab.studies.sockets import accepted, listening, read_to_end
from netlab.studies.stage import Stage
from netlab.studies.study import PORT, Params


def reads_to_the_end(probe: Probe, p: Params) -> int:
    """A server that reads all until the client's FIN, and closes; how many bytes there were.

    Its SO_RCVBUF is the study's `rcvbuf`, where that is one of its parameters.
    """
    sock = accepted(probe, rcvbuf=p.get("rcvbuf", 0))
    got = read_to_end(sock)
    sock.close()
    return got


def reads_two_to_the_end(probe: Probe, p: Params) -> int:
    """A server that does so with two connections, one after the other."""
    listener = listening(probe)
    got = 0
    for _ in range(2):
        sock, _ = listener.accept()
        got += read_to_end(sock)
        sock.close()
    listener.close()
    return got


def answers_once(probe: Probe, p: Params) -> None:
    """A server that answers once, and then waits for more."""
    sock = accepted(probe)
    sock.recv(100)
    sock.send(b"yes")
    sock.recv(100)


def until_the_client_has_ended(stage: Stage) -> None:
    """The server hears no end of it, or ended as no program should: it is stopped."""
    assert stage.study.server is not None
    assert stage.study.client is not None
    stage.start("server", stage.study.server)
    stage.lab.wait_listening("server", PORT)
    stage.run("client", stage.study.client)
    stage.lab.stop("server")


def until_the_server_was_told(stage: Stage) -> None:
    """The server waits for a datagram of the client at its port before it goes on."""
    assert stage.study.server is not None
    assert stage.study.client is not None
    program = stage.start("server", stage.study.server)
    stage.lab.wait_listening("server", PORT)
    stage.run("client", stage.study.client)
    stage.wait(program)
    stage.lab.settle()
