"""The lab's hosts and what joins them: a plan -> namespaces, links, addresses, files under /etc.

`plan` says what is to be, in words; `builder` makes it, with `links` and `routes` (rtnetlink),
`offloads` (ethtool) and `mounts`. These run in the lab's first process. `socket_table` is for the
other side: what the kernel of a host says of its sockets.
"""
