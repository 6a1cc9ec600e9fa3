"""What the processes of a server have in common: tables and counters in shared memory."""
