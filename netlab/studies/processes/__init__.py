"""Processes and threads: what they share, what each costs, and what a crash takes with it."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "what_is_shared": "what a thread shares, and a child does not",
    "start_cost": "the cost of starting a thread, and of fork()",
    "switch_cost": "the cost of switching threads, and processes",
    "threads_compute": "two threads of Python on two cores",
    "calls_per_request": "system calls for one request, in each mode",
    "switches_per_request": "who must be woken for one request",
    "at_once": "eight requests at once that wait",
    "slow_request": "one slow request: how long the others wait",
    "who_accepts": "four workers at one listening socket",
    "reuseport": "workers with a listening socket each: who gets what",
    "crash_thread": "a thread crashes: what the clients see",
    "crash_worker": "a worker process crashes: what the clients see",
    "crash_behind_master": "a worker crashes, and no client loses anything",
}
