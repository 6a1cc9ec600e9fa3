"""How long everybody waits, and who decides it."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "rcvtimeo": "SO_RCVTIMEO: recv() when nothing comes",
    "sndtimeo": "SO_SNDTIMEO: send() to a peer that does not read",
    "settimeout": "settimeout(): who keeps the time",
    "poll_timeout": "select(), poll() and epoll_wait() when nothing comes",
    "slow_client": "a byte now and then against a server's time-out",
    "idle_timeout": "a client that says nothing, and heartbeats",
    "rto_backoff": "a message lost again and again",
    "rto_rtt": "the retransmission timer over the round trip",
    "fast_retransmit": "one of ten segments is lost",
    "sack": "two of ten segments are lost: what SACK saves",
    "tail_loss": "the last segment is lost, and no ACK tells of it",
    "spurious": "sent twice, and nothing was lost",
    "user_timeout": "a dead peer noticed in a second: TCP_USER_TIMEOUT",
    "keepalive": "a dead peer noticed while nobody sends",
    "fin_wait_2": "closed here and never there: tcp_fin_timeout",
    "time_wait": "what TIME-WAIT waits for",
    "reuse_address": "`Address already in use`: SO_REUSEADDR",
    "reuse_port": "one program, two listeners at a port: SO_REUSEPORT",
    "port_exhaustion": "`Cannot assign requested address`",
}
