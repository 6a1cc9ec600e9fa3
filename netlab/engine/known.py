"""What the kernels have no word on, though the general path has."""

from netlab.model.tables import columns

_NAMES = [column.name for column in columns("connections")]

# Columns of `segments`: netlab's own verdict; of `connections` all that follows from it, and Zeek's
# words, which stand behind what the headers say.
NOT_KNOWN = frozenset({
    "verdict", "verdict_reason", "verdict_frames",
    *_NAMES[_NAMES.index("handshake_kind"):],
})  # fmt: skip
