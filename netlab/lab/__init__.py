"""Where things happen: hosts, a wire, programs on the hosts, and the witnesses, put together.

`experiment` is the lab for everybody (`netlab.Lab`): `ground` is what it stands on, `company` its
programs, `server_and_clients` the story of `netlab lab`. `session` is the story of `netlab run`,
`stage` its loop. `hosts` starts programs through the `helper`, which makes `network` and enters
`namespaces`; `become` is how a child of it becomes a program. `wire` carries frames between hosts,
`wiring` is its process seen from here. `recorder` writes what the witnesses see.
"""
