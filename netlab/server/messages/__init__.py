"""How the processes of a server talk: envelopes, bundles, lines, and who passes them on."""
