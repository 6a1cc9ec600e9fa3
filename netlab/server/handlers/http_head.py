"""Where the head of an HTTP/1.1 request ends, as a framing: one head is one message.

So each request is whole when a callback sees it, and no worker has to remember the beginning of
one: any worker can answer it, even one that has just taken over. Bodies are no part of it; who
accepts requests with a body needs another framing. Read first: RFC 9112 2.
"""

from __future__ import annotations

import re

MOST_HEAD_BYTES = 1 << 14
_END = re.compile(rb"\n\r?\n")  # a bare LF ends a line as well (RFC 9112 2.2)


def head_length(data: memoryview) -> int:
    """The bytes up to the empty line; 0 when it is not here yet.

    A head that is too long counts as ended, so that whoever reads it can refuse it in words.
    """
    end = _END.search(data[:MOST_HEAD_BYTES])
    if end is not None:
        return end.end()
    return MOST_HEAD_BYTES if len(data) >= MOST_HEAD_BYTES else 0
