"""Ways for two processes of one machine to talk."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "pipe": "a pipe: its direction, and who can have it",
    "pipe_capacity": "how much goes into a pipe that nobody reads",
    "signals": "the same signal ten times: how many arrive",
    "posix_mq": "a POSIX message queue: what a pipe has not",
    "sysv_mq": "a System V queue: choosing a message by its type",
    "shared_memory": "two processes add to the same number",
    "semaphore": "a process dies between wait and post",
    "unix_boundaries": "messages on Unix sockets of each kind",
    "unix_datagrams": "datagrams to a reader that sleeps",
    "pass_descriptor": "a connection handed to another process",
    "tcp_loopback": "TCP within one machine: packets without a wire",
    "ipc_kinds": "each kind: direction, kinship, borders, limits, order",
    "peer_death": "the other end is killed: which call tells",
    "ipc": "which kind of IPC is the fastest",
}
