"""Ways to wait for many sockets."""
