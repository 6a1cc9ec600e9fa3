"""Datagrams, and the packets below them."""
