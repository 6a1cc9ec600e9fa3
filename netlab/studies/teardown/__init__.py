"""How connections end."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "four_way": "how many frames end a connection",
    "half_close": "receiving after one is done sending",
    "simultaneous_close": "both sides call close() in the same moment",
    "write_after_close": "the peer has closed: which send() tells",
    "sigpipe": "a program that ended without a word: SIGPIPE",
    "unread_data": "close() with bytes that nobody read",
    "linger_zero": "SO_LINGER with 0 seconds",
    "linger_wait": "SO_LINGER with seconds: what close() waits for",
    "process_killed": "SIGKILL: whether the client hears of it",
    "cable_pulled": "the cable is pulled, and put back",
    "close_wait": "connections in CLOSE-WAIT: whose fault that is",
    "reset_window": "resets in somebody's name: what must be guessed",
}
