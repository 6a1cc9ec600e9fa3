"""The witnesses: packets (`ring`, with `bpf`), calls (`probe`), and the file that holds both.

Codecs (`pcap`, `pcapng`, `journal`) turn bytes into blocks and back; `recording` and `files` decide
what stands in a recording and read it back whole.

A recording is one pcapng that any Wireshark opens. The comment of its section header names form and
version. Packets are Enhanced Packet Blocks in nanoseconds with direction and offload marks; calls
are systemd Journal Export blocks, which Wireshark lists by their MESSAGE, and whose NETLAB_ fields
hold what the witness saw, exactly; all else stands in a local-use block that others skip (`local`).
Where a wire was between hosts, each is an interface, `wire` another for what the wire made; packets
have an id (epb_packetid), and a row by that id in the local-use block says what became of each.
The *live* form grows in order of arrival; the *finished* one is sorted by time, a call that acts at
its entry, one that receives at its return, and has comments. What is derived (connection, stream
range) is derived again on reading and never trusted from the file.
"""
