"""What each layer adds."""

# The studies in the order in which they are read, and in a line what each is about.
CONTENTS = {
    "one_message": "100 bytes sent: which layer adds which bytes",
    "two_hops": "a message passes a router: what it changes",
    "dns_before_connect": "from a name to the first byte of the answer",
    "same_bytes": "the same bytes by TCP, by UDP, by a Unix socket",
}
