"""Open files: how many a run needs, and the limit on them raised where this user may raise it.

netlab holds two descriptors for each client (its report, and its process to see it end), and the
server one for each connection; it inherits the limit. Read man 2 getrlimit.
"""

from __future__ import annotations

import resource

from netlab.model.errors import UsageError

_BESIDE = 32  # files, rings, reports, pollers, and what the server's own processes share


def allow_clients(count: int) -> None:
    """Have room for so many clients, for this process and those it starts. Raises UsageError."""
    needed = 2 * count + _BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _reaches(soft, needed):
        return
    if not _reaches(hard, needed):
        who = "1 client needs" if count == 1 else f"{count} clients need"
        hint = "fewer --clients" if count > 1 else "see `ulimit -Hn`"
        raise UsageError(f"{who} {needed} open files, and only {hard} are allowed here", hint)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _reaches(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
