"""What the kernels have no word on, though the general path has."""

# Columns of `segments`: netlab's own verdict.
NOT_KNOWN = frozenset({"verdict", "verdict_reason", "verdict_frames"})
