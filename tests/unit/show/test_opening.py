"""What was offered in the handshake and what came of it, and how a ladder says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.show.terminal.lines import plain
from netlab.show.terminal.opening import opening_lines
from netlab.show.views.opening import Opening, opening

AGREED = {
    # capture, connection -> option: client's offer, server's, what came of it
    ("accecn_handshake.pcap", 0): {
        "MSS": ("1460", "1460", "up to 1460 B →, 1460 B ←"),
        "window scale": ("6 (×64)", "7 (×128)", "in use"),
        "ECN": ("accurate", "accurate", "accurate in use"),
    },
    ("mptcp-v1.pcap", 0): {"MPTCP": ("yes", "yes", "in use")},
    ("four_ipv6_http_streams.pcap", 1): {
        "MSS": ("1420", "1440", "up to 1440 B →, 1420 B ←"),
        "SACK": ("yes", "", "off: one end did not offer it"),
        "timestamps": ("yes", "yes", "in use"),
    },
    ("retransmit-timeout.pcapng", 0): {},
    ("tcp-fastopen-10-syn-data-ignore-input.pcap", 0): {
        "fast open": ("cookie, 4 B", "cookie, 4 B", "0 of 517 bytes in the SYN taken"),
    },
    ("tcp-fast-open.pcap", 0): {
        "fast open": ("asks for one", "cookie, 8 B", "a cookie for next time"),
    },
    ("tcp-fast-open.pcap", 1): {
        "fast open": ("cookie, 8 B", "", "86 of 86 bytes in the SYN taken"),
    },
}  # fmt: skip


def of(captures_dir: Path, name: str, number: int) -> Opening:
    raw = read_raw(captures_dir / "files" / name)
    tables = analyse(raw)
    found = opening(tables, raw, tables.connections[number])
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "number"), AGREED)
def test_offers_and_agreement(captures_dir: Path, name: str, number: int) -> None:
    found = {
        offer.name: (offer.client, offer.server, offer.agreed)
        for offer in of(captures_dir, name, number).offers
    }
    for option, said in AGREED[name, number].items():
        assert found[option] == said


def test_what_neither_offered_is_named(captures_dir: Path) -> None:
    found = of(captures_dir, "206_example_b.pcap", 0)
    assert found.not_offered == ("window scale", "timestamps", "ECN", "fast open")
    assert {offer.name for offer in found.offers} == {"MSS", "SACK"}


def test_the_halves_of_a_handshake_add_up(captures_dir: Path) -> None:
    found = of(captures_dir, "206_example_b.pcap", 0)
    assert found.handshake_ns == 72_356_000
    assert (found.to_synack_ns, found.to_ack_ns) == (71_659_000, 697_000)
    assert (found.syns, found.synacks) == (1, 1)


def test_a_syn_that_came_twice_has_no_halves(captures_dir: Path) -> None:
    found = of(captures_dir, "tcp.pcapng", 0)
    assert (found.syns, found.to_synack_ns) == (2, None)


def test_a_capture_that_began_late_knows_no_offers(captures_dir: Path) -> None:
    found = of(captures_dir, "retransmit-timeout.pcapng", 0)
    assert (found.client_syn, found.server_syn, found.offers) == (None, None, ())
    text = " ".join(plain(line) for line in opening_lines(found, 80))
    assert "before the capture began" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_keep_to_their_width(captures_dir: Path, width: int) -> None:
    for name, number in AGREED:
        lines = [plain(line) for line in opening_lines(of(captures_dir, name, number), width)]
        assert max(map(len, lines)) <= width
        assert lines[-1] == ""  # the ladder begins


CAPTURES = Path(__file__).resolve().parents[3] / "captures"


@pytest.mark.parametrize(
    ("name", "number", "lack"),
    [
        ("accept-queue", 6, "the server has not answered"),
        ("refused", 0, "no SYN-ACK is here"),  # it answered with a RST
    ],
)
def test_a_syn_that_is_here_is_not_said_to_be_missing(name: str, number: int, lack: str) -> None:
    raw = read_raw(CAPTURES / name / f"{name}.pcapng")
    tables = analyse(raw)
    found = opening(tables, raw, tables.connections[number])
    assert found is not None
    agreed = {offer.name: offer.agreed for offer in found.offers}
    assert agreed["MSS"] == f"up to 1460 B ←; {lack}"
    assert agreed["SACK"] == agreed["window scale"] == f"not known: {lack}"
