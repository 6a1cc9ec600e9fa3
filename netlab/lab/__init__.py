"""Where things happen: namespaces, a server and clients in them, and the witnesses, put together.

`session` is the story of a run, `stage` its loop, `hosts` starts programs through the `helper`,
`namespaces` is what the helper enters, `recorder` writes what the witnesses see.
"""
