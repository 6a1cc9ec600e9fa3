"""Small writes: Nagle, delayed ACKs, cork."""
