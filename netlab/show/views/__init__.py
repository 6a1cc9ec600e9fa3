"""Tables -> view objects. Pure: no I/O, no colours, no widths; JSON and terminal share the view."""
