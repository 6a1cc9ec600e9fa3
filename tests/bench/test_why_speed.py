"""100,000 calls, with their frames: how long it takes to explain them, in processor time.

.ci/test -m bench -s tests/bench/test_why_speed.py
"""

from __future__ import annotations

import time

import pytest
from test_strace_speed import ANSWERED, ASKED, CALLS, CLIENT, EPOLL, SERVER, Run, read

from netlab.explain.analysis import analyse
from netlab.model.frame import LINK_ETHERNET, Interface
from netlab.model.recording import Description, RawRecording
from netlab.show.views.why import why

MOST_S = 10.0
THOUGHT_NS = 3_000_000


class Blocked(Run):
    """The same calls, but that each waits for its event: the server thinks before it answers."""

    def exchange(self, port: int) -> None:
        fd, near, far = 5 + port - 40_000, self.near[port], self.far[port]
        self.entered(SERVER, f"epoll_wait({EPOLL}, ")
        self.send(CLIENT, port, near, ASKED)
        self.entered(CLIENT, f"recvfrom({near}, ")
        self.now_ns += THOUGHT_NS
        event = f"{{events=EPOLLIN, data={{u32={fd}, u64={fd}}}}}"
        self.resumed(SERVER, "epoll_wait", f"[{event}], 64, -1", 1)
        self.call(SERVER, f"recvfrom({far}, ", '""..., 65536, 0, NULL, NULL', ASKED)
        self.now_ns += THOUGHT_NS
        self.send(SERVER, port, far, ANSWERED)
        self.now_ns += THOUGHT_NS
        self.resumed(CLIENT, "recvfrom", '""..., 65536, 0, NULL, NULL', ANSWERED)


@pytest.mark.bench
def test_a_hundred_thousand_calls_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    run = Blocked(CALLS)
    reader = read("".join(run.lines).encode())
    raw = RawRecording(
        run.frames, [Interface("lo", LINK_ETHERNET, 0, len(run.frames), 0)], reader.calls,
        reader.inheritances, description=Description("0", "bench", "live", 1),
    )  # fmt: skip
    tables = analyse(raw)
    begun = time.process_time()
    rows = tables.waits
    waits_s = time.process_time() - begun
    begun = time.process_time()
    view = why(tables, raw, "100,000 calls")
    all_s = time.process_time() - begun
    with capsys.disabled():
        print(
            f"\n{len(tables.calls):,} calls: {len(rows):,} waits in {waits_s:.1f} s; with findings"
            f" and sentences {all_s:.1f} s (at most {MOST_S:.0f} s)"
        )
    assert view.calls >= CALLS
    assert view.unknown_ns * 20 < view.waited_ns
    assert max(waits_s, all_s) < MOST_S
