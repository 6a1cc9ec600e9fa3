"""Ways to wait for many sockets."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "blocking": "recv() that waits, and one that does not",
    "every_call": "each call when there is nothing to do for it yet",
    "select_sets": "what select() says, and where it ends",
    "poll_events": "what poll() says of bytes, the end, a reset",
    "level_edge": "how often epoll reports the same message",
    "missed_edge": "a message read in part: whether epoll says it again",
    "oneshot": "two threads in one epoll: which of them is told",
    "thundering_herd": "eight processes wait for one connection",
    "sigio": "a signal when bytes come",
    "wait_cost": "thousands of idle connections: what a wait costs",
    "c10k": "10,000 connections in one process",
}
