"""Pages of the trace ring buffer: as this kernel filled them, and as the kernel's rules allow."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from golden_files import GOLDEN
from hypothesis import given
from hypothesis import strategies as st

from netlab.capture.kernel.formats import EventFormat, event_format
from netlab.capture.kernel.pages import Page, PageLayout, page_layout, read_page

HERE = Path(__file__).resolve().parent
LAYOUT = PageLayout(page_bytes=4096, data_off=16, commit_off=8, commit_bytes=8)
STAMP_59 = (1 << 59) - 1
MISSED, STORED = 1 << 31, 1 << 30


def recorded_pages() -> list[bytes]:
    data = (HERE / "pages.bin").read_bytes()
    return [data[at : at + 4096] for at in range(0, len(data), 4096)]


def recorded_formats() -> dict[int, EventFormat]:
    texts = (HERE / "formats.txt").read_text().split("name: ")[1:]
    found = [event_format(f"name: {text}") for text in texts]
    return {form.id: form for form in found}


def test_the_header_page_says_where_the_data_begins() -> None:
    assert page_layout((HERE / "header_page.txt").read_text()) == LAYOUT


@pytest.mark.parametrize("text", ["", "field: u64 timestamp; offset:0; size:8; signed:0;"])
def test_a_header_page_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="header_page"):
        page_layout(text)


def shown(page: Page, forms: dict[int, EventFormat]) -> list[str]:
    lines = [f"lost {page.lost}, whole {page.whole}, events {len(page.events)}"]
    before = page.events[0][0]
    for time_ns, number, data in page.events[:40]:
        form = forms[number]
        names = [one.name for one in form.fields if not one.name.startswith("common_")]
        values = []
        for name, value in zip(names, form.reader(names)(data), strict=True):
            if isinstance(value, bytes):
                value = value.rstrip(b"\0").hex()
            elif isinstance(value, int) and value > 1 << 40:
                value = "(pointer)"
            values.append(f"{name}={value}")
        lines.append(f"+{time_ns - before} ns {form.name}: {' '.join(values)}")
        before = time_ns
    return lines


def test_the_pages_of_this_kernel_read_as_a_person_would(request: pytest.FixtureRequest) -> None:
    forms = recorded_formats()
    lines = []
    for number, page in enumerate(recorded_pages()):
        lines += [f"page {number}", *shown(read_page(page, LAYOUT), forms)]
    text = "\n".join(lines) + "\n"
    golden = GOLDEN / "kernel_pages.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_first_fork_and_drop_in_them_are_these() -> None:
    forms = {form.name: form for form in recorded_formats().values()}
    by_name: dict[str, list[bytes]] = {}
    names = {form.id: name for name, form in forms.items()}
    for page in recorded_pages():
        for _, number, data in read_page(page, LAYOUT).events:
            by_name.setdefault(names[number], []).append(data)
    read, names_of = forms["kfree_skb"].reader(["reason"]), forms["kfree_skb"].symbols("reason")
    assert "NO_SOCKET" in {names_of[read(data)[0]] for data in by_name["kfree_skb"]}
    (filename,) = forms["sched_process_exec"].reader(["filename"])(by_name["sched_process_exec"][0])
    assert filename == "/bin/true"
    nothing, pid = forms["task_newtask"].reader(["no_such", "pid"])(by_name["task_newtask"][0])
    assert nothing is None
    assert pid > 0


# --- a writer of pages, by the kernel's rules, for the property test


@dataclass
class Written:
    """A page under construction."""

    time_ns: int
    data: bytearray = field(default_factory=bytearray)
    events: list[tuple[int, int, bytes]] = field(default_factory=list)

    def _head(self, kind: int, delta: int) -> None:
        self.data += struct.pack("=I", kind | (delta & 0x7FFFFFF) << 5)

    def event(self, delta: int, number: int, words: int) -> None:
        self._pass(delta)
        payload = struct.pack("=H", number) + bytes(words * 4 - 2)
        if words <= 28:
            self._head(words, delta if delta < 1 << 27 else 0)
        else:
            self._head(0, delta if delta < 1 << 27 else 0)
            self.data += struct.pack("=I", words * 4 + 4)
        self.data += payload
        self.events.append((self.time_ns, number, payload))

    def _pass(self, delta: int) -> None:
        """An event later than 27 bits tell has the time before it, in an event of its own."""
        if delta >= 1 << 27:
            self._head(30, delta)
            self.data += struct.pack("=I", delta >> 27)
        self.time_ns += delta

    def stamp(self, delta: int) -> None:
        self.time_ns += delta
        low = self.time_ns & STAMP_59
        self._head(31, low)
        self.data += struct.pack("=I", low >> 27)

    def taken_back(self, delta: int, words: int) -> None:
        self.time_ns += delta
        self._head(29, delta)
        self.data += struct.pack("=I", words * 4) + bytes((words - 1) * 4)


STEPS = st.one_of(
    st.tuples(
        st.just("event"), st.integers(0, 1 << 40), st.integers(1, 0xFFFF), st.integers(1, 60)
    ),
    st.tuples(st.just("stamp"), st.integers(0, 1 << 40), st.just(0), st.just(0)),
    st.tuples(st.just("taken_back"), st.integers(1, (1 << 27) - 1), st.just(0), st.integers(1, 9)),
)


def written(start_ns: int, steps: list[tuple[str, int, int, int]]) -> Written:
    page = Written(start_ns)
    for kind, delta, number, words in steps:
        if kind == "event":
            page.event(delta, number, words)
        elif kind == "stamp":
            page.stamp(delta)
        else:
            page.taken_back(delta, words)
    return page


def bytes_of(start_ns: int, data: bytes, *, lost: int | None, null_padding: bool) -> bytes:
    commit = len(data)
    if lost != 0:
        commit |= MISSED
    if lost:
        commit |= STORED
        data += struct.pack("=Q", lost)
    elif null_padding:
        commit += 4
        data += struct.pack("=I", 29)
    return (struct.pack("=QQ", start_ns, commit) + data).ljust(4096, b"\0")


@given(
    start_ns=st.integers(1 << 60, 1 << 62),
    steps=st.lists(STEPS, max_size=12),
    lost=st.one_of(st.none(), st.integers(0, 1 << 40)),
    null_padding=st.booleans(),
)
def test_what_a_writer_put_in_is_read(
    start_ns: int, steps: list[tuple[str, int, int, int]], lost: int | None, null_padding: bool
) -> None:
    page = written(start_ns, steps)
    raw = bytes_of(start_ns, bytes(page.data), lost=lost, null_padding=null_padding)
    found = read_page(raw, LAYOUT)
    assert found.whole
    assert found.lost == lost
    assert found.events == page.events


@given(
    steps=st.lists(STEPS, min_size=1, max_size=12), cut=st.integers(0, 4096),
    junk=st.binary(max_size=64), at=st.integers(0, 4000),
)  # fmt: skip
def test_a_damaged_page_gives_only_what_stands_in_it(
    steps: list[tuple[str, int, int, int]], cut: int, junk: bytes, at: int
) -> None:
    page = written(1 << 60, steps)
    raw = bytearray(bytes_of(1 << 60, bytes(page.data), lost=0, null_padding=False))
    raw[at : at + len(junk)] = junk
    found = read_page(bytes(raw[:cut]), LAYOUT)
    assert sum(len(data) for _, _, data in found.events) <= cut
