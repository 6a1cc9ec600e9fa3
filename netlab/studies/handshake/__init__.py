"""How connections come about, and how they do not."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "three_way": "three frames, and which call waits for which",
    "syn_options": "what the 20 bytes behind the SYN's header are for",
    "refused": "who says `Connection refused`, and how soon",
    "silent_host": "connect() to a host that says nothing",
    "connect_timeout": "connect() with a time-out of the program's own",
    "lost_synack": "the SYN-ACK is lost: what the client sees",
    "accepted_options": "which options of the listener accept() hands on",
    "accept_queue": "a server too busy to accept(): who still connects",
    "backlog_sizes": "listen(fd, 0), 1, 5, 128: how many wait in each",
    "abort_on_overflow": "connected, and yet the server's queue was full",
    "syn_flood": "64 SYNs and never the last ACK: who still connects",
    "syn_cookies": "a server that keeps nothing of a SYN",
    "defer_accept": "a server that is woken only when there is data",
    "fast_open": "the first bytes in the SYN: a round trip saved",
    "half_open": "the server was restarted: how its client hears it",
    "simultaneous_open": "two programs connect() to each other at once",
}
