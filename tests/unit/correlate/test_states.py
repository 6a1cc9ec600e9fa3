"""struct tcp_info, of every length that kernels have given."""

from __future__ import annotations

import struct

import pytest
from playbook import Play

from netlab.correlate.tcp_info import state_from_info


def info(length: int) -> bytes:
    data = bytearray(248)
    data[0] = 4
    for off, value in ((8, 204_000), (68, 1_500), (76, 0x7FFFFFFF), (80, 10), (144, 33),
                       (228, 65_000), (232, 64_000)):  # fmt: skip
        struct.pack_into("=I", data, off, value)
    for off, value in ((168, 7), (176, 8), (184, 9)):
        struct.pack_into("=Q", data, off, value)
    return bytes(data[:length])


def test_all_fields_of_a_new_kernel() -> None:
    row = state_from_info(info(248), 5, "localhost", 0, None, 1, 2)
    assert (row.state, row.snd_cwnd, row.ssthresh, row.srtt_ns) == (
        "FIN-WAIT-1",
        10,
        None,
        1_500_000,
    )
    assert (row.rto_ns, row.notsent_bytes) == (204_000_000, 32)  # the FIN is no byte
    assert (row.snd_wnd_bytes, row.rcv_wnd_bytes) == (65_000, 64_000)
    assert (row.busy_ns, row.rwnd_limited_ns, row.sndbuf_limited_ns) == (7_000, 8_000, 9_000)
    assert (row.inq_bytes, row.outq_bytes) == (1, 1)


@pytest.mark.parametrize("length", range(0, 249, 4))
def test_a_shorter_struct_leaves_what_it_lacks_unknown(length: int) -> None:
    row = state_from_info(info(length), 5, "localhost", 0, None, None, None)
    assert (row.rcv_wnd_bytes is None) == (length < 236)
    assert (row.busy_ns is None) == (length < 176)
    assert (row.snd_cwnd is None) == (length < 84)


def test_a_sample_before_and_after_a_call() -> None:
    play = Play()
    play.handshake()
    play.did("client", "send", 0, tcp_info_before=info(104), tcp_info_after=info(248))
    tables = play.tables()
    call = tables.calls[-1]
    assert [s.time_ns for s in tables.states] == [call.entered_ns, call.returned_ns]
    assert {(s.connection, s.side) for s in tables.states} == {(0, "client")}
