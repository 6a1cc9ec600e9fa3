"""The sockets of one process: entrances, connections, framings, queues, and their engine."""
