"""Bytes of a stream or a datagram -> the messages that an application said, with their fields.

Above the transport and without I/O: a conversation is fed what both sides of a TCP connection sent,
in whatever pieces, and says each message once it is whole. `registry` knows the protocols and tells
which one a connection speaks. What frames and calls carried a message is `correlate.messages`'s.
"""
