"""How much a sender sends before it hears anything, and how it learns how much that may be."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "slow_start": "how much leaves in each round trip",
    "cwnd_curve": "the congestion window as the kernel tells it",
    "cwnd_reno": "a loss, and what reno does",
    "cwnd_cubic": "a loss, and what cubic does",
    "cwnd_bbr": "how much BBR has on its way",
    "queue_rtt": "the round trip over what is on its way",
    "idle_restart": "how much leaves at once after a pause",
    "pacing": "60 segments under SO_MAX_PACING_RATE",
    "ecn": "who says what about ECN, and where",
}
