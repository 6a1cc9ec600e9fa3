"""From the tables to eyes: views (pure), the terminal, exports, notebooks.

`views` turns tables into dataclasses that say what is to be seen; `terminal` lays them out as
lines; `format` is the only place where nanoseconds or bytes become words; `escape` is the only way
for captured text to a terminal.
"""
