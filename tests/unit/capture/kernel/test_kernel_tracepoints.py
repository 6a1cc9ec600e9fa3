"""Events of this kernel, and of others that lack fields, through readers made from formats."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from netlab.capture.kernel.formats import EventFormat, event_format
from netlab.capture.kernel.pages import PageLayout, read_page
from netlab.capture.kernel.tracepoints import Entered, Seen, enter_reader, readers

HERE = Path(__file__).resolve().parent
LAYOUT = PageLayout(page_bytes=4096, data_off=16, commit_off=8, commit_bytes=8)


def text_of(name: str) -> str:
    texts = (HERE / "formats.txt").read_text().split("name: ")[1:]
    return next(f"name: {text}" for text in texts if text.startswith(f"{name}\n"))


def first(name: str) -> bytes:
    """The bytes of the first event of this name that was recorded."""
    number = event_format(text_of(name)).id
    data = (HERE / "pages.bin").read_bytes()
    for at in range(0, len(data), 4096):
        for _, event, payload in read_page(data[at : at + 4096], LAYOUT).events:
            if event == number:
                return payload
    raise AssertionError(f"no {name} was recorded")


def without(name: str, *fields: str) -> EventFormat:
    """The format of a kernel whose event does not have these fields."""
    text = text_of(name)
    for field in fields:
        text = re.sub(rf"\tfield:[^;]*\b{field}(\[\d+\])?;[^\n]*\n", "", text)
    return event_format(text)


def seen(form: EventFormat, data: bytes) -> Seen:
    found = readers()[form.name](form)(7, data)
    assert isinstance(found, Seen)
    return found


def test_a_probe_tells_both_ends_and_its_numbers() -> None:
    data = first("tcp_probe")
    found = seen(event_format(text_of("tcp_probe")), data)
    event = found.event
    assert found.sk is not None
    assert event.local is not None
    assert event.local.startswith("127.0.0.1:")
    assert event.peer is not None
    assert (event.state, event.length_bytes, event.snd_cwnd) == ("ESTABLISHED", 23, 10)
    assert event.ssthresh is None  # infinite


def test_an_older_kernels_probe_has_no_socket_and_the_same_ends() -> None:
    data = first("tcp_probe")
    new = seen(event_format(text_of("tcp_probe")), data)
    old = seen(without("tcp_probe", "skaddr", "skbaddr", "sock_cookie"), data)
    assert (old.sk, old.skb) == (None, None)
    assert old.event == new.event


def test_an_older_kernels_drop_has_neither_reason_nor_socket() -> None:
    old = seen(without("kfree_skb", "reason", "rx_sk"), first("kfree_skb"))
    assert (old.sk, old.event.reason) == (None, None)
    assert old.skb is not None


def test_an_older_kernels_reset_tells_its_family_by_its_addresses() -> None:
    data = first("tcp_receive_reset")
    new = seen(event_format(text_of("tcp_receive_reset")), data)
    old = seen(without("tcp_receive_reset", "family"), data)
    assert old.event == new.event
    assert new.event.peer == "127.0.0.1:9"


def test_arguments_of_32_bits_are_read_as_such() -> None:
    """A register's upper half means nothing there: not for a descriptor, not for flags."""
    form = event_format(text_of("sys_enter_sendto"))
    places = {field.name: field.off for field in form.fields}
    data = bytearray(first("sys_enter_sendto"))
    struct.pack_into("=q", data, places["fd"], (0x5A5A << 32) | 0xFFFFFFFF)
    struct.pack_into("=Q", data, places["flags"], (0x5A5A << 32) | 0x4000)
    struct.pack_into("=Q", data, places["len"], 1 << 33)
    found = enter_reader(form)(7, bytes(data))
    assert isinstance(found, Entered)
    assert found.name == "sendto"
    assert (found.arguments["fd"], found.arguments["flags"]) == (-1, 0x4000)
    assert found.arguments["len"] == 1 << 33
