"""`netlab inspect FILE`: a recording or capture, from its summary down to one packet's fields.

`options` reads what was typed, `asked` has it and what may stand together, `look` chooses who
answers; the other modules have the views: one function each, which draws the view or prints it as
JSON.
"""
