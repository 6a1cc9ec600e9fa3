"""`netlab join`: what it says of a capture and a log, and of those that it cannot join."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from sample_recordings import ethernet_tcp

from netlab.capture.files import read_raw
from netlab.capture.finished import plain
from netlab.commands import main
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

Caught = pytest.CaptureFixture[str]
T0_S = 1_700_000_000
SYN, ACK, PSH_ACK, FIN_ACK = 0x02, 0x10, 0x18, 0x11
PAYLOAD = b"a line of the client, which nobody else says"
SIZE = len(PAYLOAD)
FRAMES = [
    (1_100, ethernet_tcp(True, SYN, 1000, 0)),
    (1_120, ethernet_tcp(False, SYN | ACK, 5000, 1001)),
    (1_130, ethernet_tcp(True, ACK, 1001, 5001)),
    (2_100, ethernet_tcp(True, PSH_ACK, 1001, 5001, PAYLOAD)),
    (2_150, ethernet_tcp(False, ACK, 5001, 1001 + SIZE)),
    (3_100, ethernet_tcp(True, FIN_ACK, 1001 + SIZE, 5001)),
    (3_150, ethernet_tcp(False, FIN_ACK, 5001, 1002 + SIZE)),
    (3_170, ethernet_tcp(True, ACK, 1002 + SIZE, 5002)),
]
TO = '{sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("127.0.0.1")}, 16'
LINES = [
    (1_000, 'execve("/bin/say", ["say"], 0x7ffd0 /* 9 vars */) = 0 <0.000020>'),
    (1_050, "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>"),
    (1_080, f"connect(3, {TO}) = 0 <0.000070>"),
    (2_050, f'sendto(3, "{PAYLOAD.decode()}", {SIZE}, 0, NULL, 0) = {SIZE} <0.000080>'),
    (3_050, "close(3) = 0 <0.000060>"),
    (3_300, "exit_group(0) = ?"),
]


def pcap(frames: list[tuple[int, bytes]], link: int = 1) -> bytes:
    """A capture of tcpdump; times in us after T0."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, link)]
    for at_us, data in frames:
        head = struct.pack("<IIII", T0_S + at_us // 10**6, at_us % 10**6, len(data), len(data))
        parts.append(head + data)
    return b"".join(parts)


def log(lines: list[tuple[int, str]] = LINES, *, later_us: int = 0, pid: str = "77  ") -> str:
    """A log of strace -f -ttt -T -o; its clock may be ahead."""
    found = []
    for at_us, text in lines:
        seconds, us = divmod(T0_S * 10**6 + at_us + later_us, 10**6)
        found.append(f"{pid}{seconds}.{us:06d} {text}\n")
    return "".join(found)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")  # each thing said is one line
    Path("cap.pcap").write_bytes(pcap(FRAMES))
    Path("say.strace").write_text(log())
    return tmp_path


def join(*words: str) -> int:
    return main.run(["join", "cap.pcap", "--strace", "say.strace", "-o", "r.pcapng", *words])


def result() -> tuple[RawRecording, Tables]:
    raw = read_raw("r.pcapng")
    tables = analyse(raw)
    assert (raw.faults, raw.description.form) == ([], "finished")
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    return raw, tables


def is_joined(tables: Tables, connection: int = 0) -> bool:
    (sent,) = (call for call in tables.calls if call.op == "sendto")
    return (sent.connection, sent.side, sent.start, sent.stop) == (
        connection,
        "client",
        0,
        SIZE,
    )


def refusal(capsys: Caught, *words: str, code: int = 4) -> str:
    """The one line that it ends with."""
    assert join(*words) == code
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert not Path("r.pcapng").exists()
    return line


def test_a_capture_and_a_log_become_a_recording(here: Path, capsys: Caught) -> None:
    assert join("--actor", "old") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == (
        "r.pcapng: 8 packets, 4 calls\n"
        "  TCP sockets and their connections: 1 by their calls\n"
        "  say.strace: its times agree with the frames' as they are; what may be added is"
        " -0.000930000 to 0.000020000 s, by 4 pairs of call and frame\n"
        "  bytes moved by calls: 44\n"
        "  44 bytes carried but not read: no call witness\n"
    )
    raw, tables = result()
    assert is_joined(tables)
    assert [bytes(f.data) for f in raw.frames] == [data for _, data in FRAMES]
    assert [f.time_ns for f in raw.frames] == [T0_S * 10**9 + at * 1000 for at, _ in FRAMES]
    assert {call.actor for call in tables.calls} == {"old"}
    assert raw.description.title == "netlab join cap.pcap --strace say.strace --actor old"
    assert "agree with the frames'" in raw.description.notes[0]
    assert Path("r.pcapng").stat().st_mode & 0o777 == 0o600


def test_what_it_says_fits_the_terminal(
    here: Path, capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert join() == 0
    whole = capsys.readouterr().out
    for columns in (60, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert join() == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= columns
        assert " ".join(lines).split() == whole.split()


def test_pcapng_is_as_good_as_pcap(here: Path) -> None:
    with open("cap.pcapng", "wb") as out:
        plain(read_raw("cap.pcap"), out)
    Path("cap.pcapng").replace("cap.pcap")
    assert join() == 0
    assert is_joined(result()[1])


def test_the_files_of_ff_are_one_log(here: Path, capsys: Caught) -> None:
    Path("say.strace").unlink()
    Path("say.strace.77").write_text(log(pid=""))
    Path("say.strace.old").write_text("something else")
    assert join() == 0
    assert "say.strace.77: its times agree" in capsys.readouterr().out
    tables = result()[1]
    assert is_joined(tables)
    assert {call.pid for call in tables.calls} == {77}


def test_the_files_of_ff_may_be_named_one_by_one(here: Path, capsys: Caught) -> None:
    """As a shell names them for `say.strace.*`; the process that was forked says nothing."""
    forks = (1_060, "clone(child_stack=NULL, flags=SIGCHLD) = 78 <0.000010>")
    Path("say.strace").unlink()
    Path("say.strace.77").write_text(log([*LINES[:2], forks, *LINES[2:]], pid=""))
    Path("say.strace.78").write_text(log([(1_070, "close(3) = 0 <0.000002>"),
                                          (1_075, "exit_group(0) = ?"),
                                          (1_076, "+++ exited with 0 +++")], pid=""))  # fmt: skip
    names = ["say.strace.77", "say.strace.78"]
    assert main.run(["join", "cap.pcap", "-o", "r.pcapng", "--strace", *names]) == 0
    said = capsys.readouterr().out
    assert "say.strace.*: its times agree" in said
    assert "lost" not in said
    tables = result()[1]
    assert is_joined(tables)
    assert {(call.pid, call.op) for call in tables.calls} >= {(78, "close"), (77, "sendto")}


@pytest.mark.parametrize("later_us", [500_000, -500_000, 1_500])
def test_a_clock_that_is_ahead_is_found_out(later_us: int, here: Path, capsys: Caught) -> None:
    """Frames of another connection stand around these, so that both files overlap."""
    other = FRAMES[-1][1].replace(b"\x9c\x40", b"\x9c\x50", 1)
    Path("cap.pcap").write_bytes(pcap([(-900_000, other), *FRAMES, (900_000, other)]))
    Path("say.strace").write_text(log(later_us=later_us))
    assert join() == 0
    said = capsys.readouterr().out
    added_us = float(said.partition("say.strace: ")[2].partition(" s was added")[0]) * 10**6
    assert -930 <= added_us + later_us <= 20
    raw, tables = result()
    assert is_joined(tables, connection=1)
    assert f"{added_us / 10**6:.9f} s was added to its times" in raw.description.notes[0]


def named(at_us: int, port: int, later_us: int) -> list[tuple[int, str]]:
    """A client that asked for its own port; everything `at_us` later, by a clock that is ahead."""
    asked = f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("127.0.0.1")}}, [16]'
    lines = [*LINES[1:4], (2_900, f"getsockname(3, {asked}) = 0 <0.000010>"), LINES[4]]
    return [(at + at_us + later_us, text) for at, text in lines]


def again(at_us: int, port: int) -> list[tuple[int, bytes]]:
    """The frames at another time, from another port."""
    mine = port.to_bytes(2, "big")
    return [(at + at_us, data.replace(b"\x9c\x40", mine, 1)) for at, data in FRAMES]


def test_a_clock_that_was_set_in_between(here: Path, capsys: Caught) -> None:
    """It is said between which calls; before and after it the times are put right."""
    frames = [frame for at in range(4) for frame in again(at * 5_000_000, 40_000 + at)]
    Path("cap.pcap").write_bytes(pcap(frames))
    lines = [
        line
        for at in range(4)
        for line in named(at * 5_000_000, 40_000 + at, 2_000_000 if at >= 2 else 0)
    ]
    Path("say.strace").write_text(log([LINES[0], *lines]))
    assert join() == 0
    said = capsys.readouterr().out
    assert "0.000000000 s was added to its times; from the call at 1700000012." in said
    assert " on -2.000" in said
    assert "one of the clocks was set between the call at 1700000005." in said
    tables = result()[1]
    assert [call.connection for call in tables.calls if call.op == "sendto"] == [0, 1, 2, 3]
    assert [call.start for call in tables.calls if call.op == "sendto"] == [0] * 4


def test_clocks_that_run_apart(here: Path, capsys: Caught) -> None:
    """One gains 100 us in a second: the difference grows evenly over ten minutes."""
    frames = [frame for at in range(61) for frame in again(at * 10_000_000, 40_000 + at)]
    Path("cap.pcap").write_bytes(pcap(frames))
    lines = [line for at in range(61) for line in named(at * 10_000_000, 40_000 + at, at * 1_000)]
    Path("say.strace").write_text(log([LINES[0], *lines]))
    assert join() == 0
    said = capsys.readouterr().out
    used = float(said.partition("run apart by ")[2].partition(" ppm")[0])
    assert abs(used + 100) < 2
    tables = result()[1]
    assert [call.start for call in tables.calls if call.op == "sendto"] == [0] * 61


def test_an_offset_that_was_asked_for_is_used(here: Path, capsys: Caught) -> None:
    Path("say.strace").write_text(log(later_us=3_600_000_000))
    assert join("--clock-offset", "-3600.0000025") == 0
    said = capsys.readouterr().out
    assert "-3600.000002500 s was added to its times, as asked" in said
    raw, tables = result()
    assert is_joined(tables)
    assert raw.calls[0].entered_ns == (T0_S * 10**9 + 1_050_000) - 2_500


def test_times_that_do_not_overlap(here: Path, capsys: Caught) -> None:
    Path("say.strace").write_text(log(later_us=-3_600_000_000))
    line = refusal(capsys, code=2)
    assert "do not overlap in time: its last call is 3599.9978" in line
    assert "--clock-offset SECONDS (its sockets would fit the frames with 3599.9995" in line
    line = refusal(capsys, "--clock-offset", "7200", code=2)
    assert "its first call is 3599.99" in line


@pytest.mark.parametrize("text", ["much", "nan", "1e99"])
def test_an_offset_that_is_no_number(text: str, here: Path, capsys: Caught) -> None:
    assert "is no number of seconds" in refusal(capsys, "--clock-offset", text, code=2)


def test_a_log_that_was_cut_in_a_line(here: Path, capsys: Caught) -> None:
    """What stands before it is joined; that calls may be missing is said."""
    text = log()
    Path("say.strace").write_text(text[: text.index("close(3)") + 5])
    assert join() == 0
    said = capsys.readouterr()
    assert "lost: strace: some calls of say lost, the log was cut short" in said.out
    assert "note: say.strace: the log ends within a line" in said.err
    raw, tables = result()
    assert is_joined(tables)
    assert any("ends within a line" in note for note in raw.description.notes)


def test_a_line_that_cannot_be_read_leaves_no_place_certain(here: Path, capsys: Caught) -> None:
    """It may have been a call that moved bytes."""
    damaged = [*LINES[:3], (1_500, "wri\x00te(3 \x01"), *LINES[3:]]
    Path("say.strace").write_text(log(damaged))
    assert join() == 0
    said = capsys.readouterr()
    assert "lost: strace: some calls of say lost, lines of the log were not understood" in said.out
    assert "note: say.strace: not understood: wri\\x00te(3 \\x01" in said.err
    tables = result()[1]
    assert [call.start for call in tables.calls if call.op == "sendto"] == [None]


def test_a_child_that_was_not_followed(here: Path, capsys: Caught) -> None:
    forks = (1_900, "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 99 <0.000020>")
    Path("say.strace").write_text(log([*LINES[:3], forks, *LINES[3:]]))
    assert join() == 0
    said = capsys.readouterr().out
    assert "lost: strace: some calls of say lost, process 99 has no line in the log" in said


def test_a_capture_that_was_cut_in_a_packet(here: Path, capsys: Caught) -> None:
    Path("cap.pcap").write_bytes(pcap(FRAMES)[:-5])
    assert join() == 0
    assert "note: the capture: the file is cut short" in capsys.readouterr().err
    assert is_joined(result()[1])


def test_content_that_no_frame_holds_is_joined_to_none(here: Path, capsys: Caught) -> None:
    Path("say.strace").write_text(log().replace("nobody else says", "was never sent!!"))
    assert join() == 0
    assert "1 without frames" in capsys.readouterr().out


def test_two_connections_that_look_alike_are_named(here: Path, capsys: Caught) -> None:
    """Two threads connect at once, say nothing and go: which is which cannot be known."""
    twice = [(1_100, ethernet_tcp(True, SYN, 1000, 0))]
    twice += [(at, data) for at, data in FRAMES if at in (1_120, 1_130)]
    twice += [(at, data) for at, data in FRAMES if at == 3_170]
    other = [(at + 1, data.replace(b"\x9c\x40", b"\x9c\x41", 1)) for at, data in twice]
    Path("cap.pcap").write_bytes(pcap(sorted(twice + other)))
    threads = [
        "77  1700000000.001010 clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|"
        "CLONE_THREAD}, 88) = 78 <0.000010>",
        "77  1700000000.001050 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000001>",
        "78  1700000000.001055 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4 <0.000001>",
        f"77  1700000000.001060 connect(3, {TO} <unfinished ...>",
        f"78  1700000000.001065 connect(4, {TO} <unfinished ...>",
        "77  1700000000.001200 <... connect resumed>) = 0 <0.000140>",
        "78  1700000000.001205 <... connect resumed>) = 0 <0.000140>",
        "77  1700000000.001300 close(3) = 0 <0.000002>",
        "77  1700000000.001310 close(4) = 0 <0.000002>",
    ]
    Path("say.strace").write_text("\n".join(threads) + "\n")
    assert join() == 0
    said = capsys.readouterr().out
    assert "TCP sockets and their connections: 2 ambiguous" in said
    assert "say connect #3 (fd 3, to 127.0.0.1:7): connections 0, 1 fit: given none" in said
    assert "say connect #4 (fd 4, to 127.0.0.1:7): connections 0, 1 fit: given none" in said
    raw, tables = result()
    assert {call.connection for call in tables.calls} == {None}
    assert sum("fit: given none" in note for note in raw.description.notes) == 2


def test_logs_of_two_machines_may_number_their_sockets_alike(here: Path, capsys: Caught) -> None:
    """With -y the numbers are the kernels' own: only --host tells two kernels apart."""
    client = log().replace("(3,", "(3<socket:[9]>,").replace("= 3 ", "= 3<socket:[9]> ")
    Path("say.strace").write_text(client.replace("close(3)", "close(3<socket:[9]>)"))
    server = [
        (1_000, 'execve("/bin/hear", ["hear"], 0x7ffd0 /* 9 vars */) = 0 <0.000020>'),
        (1_010, "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4<socket:[8]> <0.000002>"),
        (1_020, "bind(4<socket:[8]>, {sa_family=AF_INET, sin_port=htons(7), "
                'sin_addr=inet_addr("0.0.0.0")}, 16) = 0 <0.000002>'),
        (1_030, "listen(4<socket:[8]>, 5) = 0 <0.000002>"),
        (1_040, "accept4(4<socket:[8]>, NULL, NULL, 0) = 9<socket:[9]> <0.000200>"),
        (1_500, f'read(9<socket:[9]>, "{PAYLOAD.decode()}", 100) = {SIZE} <0.000800>'),
        (2_500, 'read(9<socket:[9]>, "", 100) = 0 <0.000620>'),
        (3_140, "close(9<socket:[9]>) = 0 <0.000060>"),
        (3_300, "exit_group(0) = ?"),
    ]  # fmt: skip
    Path("hear.strace").write_text(log(server, pid="77  "))
    assert join("--strace", "hear.strace", "--host", "left", "--host", "right") == 0
    raw, tables = result()
    assert [(row.host, row.side, row.start, row.stop) for row in tables.calls
            if row.op in ("sendto", "read") and row.result] == [
        ("right", "server", 0, SIZE), ("left", "client", 0, SIZE),
    ]  # fmt: skip
    assert [host.name for host in raw.description.hosts] == ["left", "right"]
    assert tables.unmatched == []


# --- files that cannot be joined


def test_a_capture_without_ip(here: Path, capsys: Caught) -> None:
    arp = b"\xff" * 6 + b"\2" * 6 + b"\x08\x06" + bytes(28)
    Path("cap.pcap").write_bytes(pcap([(1_000, arp)]))
    assert "cap.pcap holds no IP packet: its frames are Ethernet" in refusal(capsys)


def test_a_capture_without_packets(here: Path, capsys: Caught) -> None:
    Path("cap.pcap").write_bytes(pcap([]))
    assert "cap.pcap holds no packet: nothing was captured" in refusal(capsys)


def test_a_recording_is_no_capture(here: Path, capsys: Caught) -> None:
    assert join() == 0
    Path("r.pcapng").replace("cap.pcap")
    capsys.readouterr()
    assert "is a recording of netlab, with calls of its own" in refusal(capsys, code=2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "say.strace is empty: strace wrote nothing into it"),
        ("hello\nthere\n", "say.strace is no log of strace: take one with `strace -f -ttt -T"),
        ("\0\1\2" * 1000, "say.strace is no log of strace"),
        (log().replace(" <0.0000", " #"), "say.strace was taken without -T: run `strace -f -ttt"),
        ("77  close(3) = 0 <0.000012>\n", "say.strace was taken without -ttt: run `strace"),
        ("77  12:01:02.123456 close(3) = 0\n", "without -ttt (times of day and differences do not"),
        ("77       0.000012 close(3) = 0\n", "without -ttt (times of day and differences do not"),
        (log(LINES[:1]), "say.strace holds no call on a socket: was the right process traced"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_log_to_use(text: str, says: str, here: Path, capsys: Caught) -> None:
    text = text.replace("#20>", "").replace("#10>", "").replace("#70>", "")
    Path("say.strace").write_text(text.replace("#80>", "").replace("#60>", ""))
    assert says in refusal(capsys)


def test_files_that_are_not_there(here: Path, capsys: Caught) -> None:
    Path("say.strace").unlink()
    assert "cannot read say.strace: no such file" in refusal(capsys)
    Path("say.strace").mkdir()
    assert "cannot read say.strace: is a directory" in refusal(capsys)
    Path("cap.pcap").unlink()
    assert "cannot read cap.pcap: no such file" in refusal(capsys)


def test_more_names_than_logs(here: Path, capsys: Caught) -> None:
    assert "2 names for 1 log: say --actor once" in refusal(
        capsys, "--actor", "a", "--actor", "b", code=2
    )


# --- where it is written


def test_what_it_reads_is_never_written(here: Path, capsys: Caught) -> None:
    for name in ("cap.pcap", "say.strace"):
        before = Path(name).read_bytes()
        assert main.run(["join", "cap.pcap", "--strace", "say.strace", "-o", name]) == 2
        assert "is read and cannot be written" in capsys.readouterr().err
        assert Path(name).read_bytes() == before


def test_a_file_that_is_there_is_replaced_once_all_is_well(here: Path, capsys: Caught) -> None:
    Path("r.pcapng").write_text("old")
    Path("say.strace").write_text("no log")
    assert join() == 4
    assert Path("r.pcapng").read_text() == "old"
    Path("say.strace").write_text(log())
    assert join() == 0
    assert is_joined(result()[1])


def test_nothing_is_written_through_a_link_or_over_spools(here: Path, capsys: Caught) -> None:
    Path("r.pcapng").symlink_to("elsewhere")
    assert join() == 2
    assert "it is a symbolic link" in capsys.readouterr().err
    assert not Path("elsewhere").exists()
    Path("r.pcapng").unlink()
    Path("r.pcapng.spools").mkdir()
    Path("r.pcapng.spools/calls").write_text("x")
    assert "holds calls of a recording that was killed" in refusal(capsys, code=2)
