"""What lies between a call and the wire."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "sticky_packets": "five calls of send(), one recv() returns them all",
    "recv_sizes": "one send(), and a recv() with room for less",
    "framing_terminator": "messages that end with a newline, however cut",
    "framing_length": "messages with their length in front",
    "peek_waitall": "MSG_PEEK, MSG_WAITALL and SO_RCVLOWAT",
    "rcvbuf_doubling": "SO_RCVBUF: what was set, and what there is",
    "window_scale": "a window of more than 65,535 bytes",
    "adv_win_scale": "how much of the receive buffer is window",
    "blocking_send": "the buffers are full: when send() returns",
    "partial_send": "send() took less than it was given",
    "writable_again": "how much must be free for POLLOUT",
    "notsent_lowat": "how old a byte is when it leaves",
    "zero_window": "the receiver does not read: who stops the sender",
    "silly_window": "a receiver that reads 100 bytes at a time",
    "window_rtt": "throughput over the receive buffer",
    "throughput_rtt": "throughput over the distance",
    "sndbuf_rtt": "throughput with a small send buffer",
    "autotuning": "buffers that nobody set, and how they grow",
    "urgent_byte": "one byte with MSG_OOB: whether it overtakes",
    "sendfile": "a file sent without reading it",
    "splice": "a proxy that does not read what it passes on",
    "zerocopy": "MSG_ZEROCOPY: when the buffer is free again",
    "offload": "frames of 60,000 bytes on a link of 1,500",
}
