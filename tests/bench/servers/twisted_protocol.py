"""Echo on Twisted's epoll reactor."""

from __future__ import annotations

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import protocol, reactor  # noqa: E402 (the reactor is chosen before it is imported)


class Echo(protocol.Protocol):
    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


if __name__ == "__main__":
    port = reactor.listenTCP(
        0, protocol.Factory.forProtocol(Echo), backlog=512, interface="127.0.0.1"
    )
    print(port.getHost().port, flush=True)
    reactor.run()
