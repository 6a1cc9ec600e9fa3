"""Bytes of captured frames -> rows of the `packets` table, and on request every field of one frame.

`packets.decode` is the way in; `fields` the one table of header fields; `layers` shows one frame by
it; `quick` and `deep` ask dpkt and scapy. Malformed input is fault columns, never an exception.
"""
