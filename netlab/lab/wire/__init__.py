"""The wire between the hosts of a lab: what happens to a frame on its way, and by which rule.

`rules` are the rules as objects (`selection` names the frames that they are about), `grammar` is
the language they are written in (`tokens`, `quantities`). `headers` finds the headers of a frame,
`sight` what the frame is in its conversation ("data 3"), `matching` whether a rule means it.
`link` is the wire itself without sockets and clock, with `pipe` for what has to queue and `errand`
for what a router says and does to packets that are too big.

`forward` is the process that the wire is: `port` its sockets, `carriers` what it does with a frame,
`journal` its spool with the reader for it, `orders` how it is spoken to.
"""
