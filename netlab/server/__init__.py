"""The socket server core: an epoll reactor and what it serves, watched or not.

`plain` makes the sockets when no one watches, `reactor` waits, `listener` accepts, `connection`
carries one TCP conversation, `datagrams` a UDP socket, and `echo` puts them together.
"""
