"""The wire between the hosts of a lab: what happens to a frame on its way, and by which rule.

`rules` are the rules as objects (`selection` names the frames that they are about), `grammar` is
the language they are written in (`tokens`, `quantities`). `headers` finds the headers of a frame,
`sight` what the frame is in its conversation ("data 3"), `matching` whether a rule means it.
`link` is the wire itself without sockets and clock, with `pipe` for what has to queue and `errand`
for what a router says and does to packets that are too big.
`forward` is its process, `port` a socket of it,
`carriers` what is done with a frame between two of them, `journal` where it is noted, `orders` what
netlab and the process say to each other.
"""
