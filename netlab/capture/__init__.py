"""The witnesses: packets (`ring`, with `bpf`), calls (`probe`), and the file that holds both.

Codecs (`pcap`, `pcapng`, `journal`) turn bytes into blocks and back; `recording` and `files` decide
what stands in a recording and read it back whole.
"""
