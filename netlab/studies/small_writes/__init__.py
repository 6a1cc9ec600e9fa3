"""Small writes: Nagle, delayed ACKs, cork."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "nagle": "ten small writes: how many segments leave",
    "nodelay": "small news every 20 ms: how late they leave",
    "delayed_ack": "a message without an answer: when its ACK leaves",
    "quick_ack": "ACKs of a new connection, before they are delayed",
    "nagle_delayed_ack": "a request in two parts, and the 40 ms it waits",
    "write_write_read": "head and body: one call or two",
    "cork": "three writes under TCP_CORK",
    "autocork": "small writes behind a packet in the host's own queue",
    "msg_more": "a head with MSG_MORE, and a body that never comes",
}
