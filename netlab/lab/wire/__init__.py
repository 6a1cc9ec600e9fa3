"""The wire between the hosts of a lab: what happens to a frame on its way, and by which rule.

`rules` are the rules as objects (`selection` names the frames that they are about), `grammar` is
the language they are written in (`tokens`, `quantities`). `link` is the wire itself, without
sockets and clock: `headers` finds the headers of a frame, `sight` what it is in its conversation
("data 3"), `matching` and `in_use` which rules mean it; `gate` applies those that act when it
leaves (`too_big`: ICMP and fragments), `transit` those that take time (`pipe`: rate and queue).
`outcomes` is what comes of it.

`forward` is the process that the wire is: `port` its sockets, `carriers` what it does with a frame,
`journal_writer` its spool with `journal`, the reader, `orders` how it is spoken to.
"""
