"""The verbs of the command line, one thin file each: parse, call one function, print."""
