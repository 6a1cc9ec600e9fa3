"""What is sampled of sockets on a lab's hosts: the same that ss and the sockets themselves say."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import state_programs as programs
from lab_process import complaint, run_netlab

from netlab.capture.files import read_raw
from netlab.explain.analysis import analyse
from netlab.lab.actor import Program
from netlab.lab.experiment import Lab
from netlab.model.sample import Sample
from netlab.model.tables import State

EVERY_NS = 2_000_000
AGES = slice(44, 60)  # of struct tcp_info: milliseconds since this and that
HOSTS = ("client", "server")
OWNED, FOREIGN = 2, 2  # connections made with the probe's sockets, and without


@dataclass
class Quiet:
    """A lab in which nothing happened for a while, and what others said of its sockets then."""

    lab: Lab
    programs: dict[str, Program]
    ss: dict[str, str]  # what `ss` wrote on each host


@pytest.fixture(scope="module")
def moment(tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    path = tmp_path_factory.mktemp("states") / "a.pcapng"
    said = {}
    with Lab(path=path, wire="delay 5ms; loss 2% seed 1", sample_every_ns=EVERY_NS) as lab:
        running = {"server": lab.start("server", programs.hold, OWNED, FOREIGN)}
        assert len(lab.wait_listening("server")) == 2
        address = lab.address("server")
        running["client"] = lab.start("client", programs.fill, address, OWNED, FOREIGN)
        wait_for(lab, running, b"quiet")
        sampler = lab._ground.sampler
        assert sampler is not None
        looks = sampler.looks
        assert lab.wait_until(lambda: sampler.looks > looks)
        for host in HOSTS:
            ss = lab.run(host, ["ss", "-tinmHO"], actor="ss")
            assert ss.status == 0, ss.stderr
            said[host] = ss.stdout.decode()
        for said_last in (b"taken", b""):
            for program in running.values():
                lab.signal(program, signal.SIGTERM)
            wait_for(lab, running, said_last)
        lab.wait(*running.values())
        for program in running.values():
            assert program.status == 0, program.stderr
    return Quiet(lab, running, said)


def wait_for(lab: Lab, running: dict[str, Program], word: bytes) -> None:
    """Until all have said it; none may have ended before."""
    everyone = running.values()
    assert lab.wait_until(lambda: all(word in p.stdout or not p.running for p in everyone))
    assert all(p.running for p in everyone) or not word, [p.stderr for p in everyone]


def last_samples(quiet: Quiet, host: str) -> dict[tuple[str, str], Sample]:
    """By addresses, the newest of each socket while its program held it and was quiet."""
    found = {}
    for sample in quiet.lab.recording.raw.samples:
        if sample.host == host and sample.state == 1:
            found[sample.local, sample.peer] = sample
    return found


def last_states(quiet: Quiet, host: str) -> dict[tuple[str, str | None], State]:
    return {
        (row.local, row.peer): row
        for row in quiet.lab.recording.tables.states
        if row.local is not None and row.host == host and row.state == "ESTABLISHED"
    }


@pytest.mark.parametrize("host", HOSTS)
def test_ss_says_the_same(moment: Quiet, host: str) -> None:
    rows = last_states(moment, host)
    lines = [line for line in moment.ss[host].splitlines() if line.startswith("ESTAB")]
    assert len(lines) == len(rows) == OWNED + FOREIGN
    for line in lines:
        _, received, sent, local, peer, *_ = line.split()
        row = rows[local, peer]
        assert (row.inq_bytes, row.outq_bytes) == (int(received), int(sent))
        facts = dict(re.findall(r"([a-z_]+):([\d.]+)", line))
        assert row.snd_cwnd == int(facts["cwnd"])
        assert row.ssthresh == (int(facts["ssthresh"]) if "ssthresh" in facts else None)
        assert row.rto_ns == int(facts["rto"]) * 1_000_000
        assert row.srtt_ns is not None
        assert row.srtt_ns / 1e6 == pytest.approx(float(facts["rtt"]), rel=1e-5)
        if "snd_wnd" in facts:
            assert row.snd_wnd_bytes == int(facts["snd_wnd"])
        assert row.notsent_bytes == int(facts.get("notsent", 0))
        for name in ("busy", "rwnd_limited", "sndbuf_limited"):
            assert getattr(row, f"{name}_ns") == int(facts.get(name, 0)) * 1_000_000
        memory = dict(re.findall(r"([a-z]+)(\d+)", line.split("skmem:(")[1].split(")")[0]))
        assert row.rmem_alloc_bytes == int(memory["r"])
        assert row.rcvbuf_bytes == int(memory["rb"])
        assert row.wmem_queued_bytes == int(memory["w"])
        assert row.sndbuf_bytes == int(memory["tb"])
        assert row.drops == int(memory["d"])


@pytest.mark.parametrize("host", HOSTS)
def test_the_sockets_themselves_say_the_same(moment: Quiet, host: str) -> None:
    samples = sorted(last_samples(moment, host).values(), key=lambda one: one.local + one.peer)
    infos = [bytes.fromhex(text) for text in moment.programs[host].value]
    assert len(samples) == len(infos)
    ours = {without_ages(one.tcp_info or b"") for one in samples}
    assert ours == {without_ages(info) for info in infos}


def without_ages(info: bytes) -> bytes:
    return info[: AGES.start] + info[AGES.stop :]


def test_both_ends_know_their_connection_with_and_without_calls(moment: Quiet) -> None:
    tables = moment.lab.recording.tables
    assert len(tables.connections) == OWNED + FOREIGN
    known = {call.connection for call in tables.calls if call.connection is not None}
    assert len(known) == OWNED
    for host in HOSTS:
        rows = last_states(moment, host)
        assert {row.connection for row in rows.values()} == {
            c.connection for c in tables.connections
        }
        assert {row.side for row in rows.values()} == {host}
        total = programs.UNREAD_BYTES if host == "server" else 0
        assert {row.inq_bytes for row in rows.values()} == {total}
    listeners = {row.local for row in tables.states if row.state == "LISTEN"}
    assert listeners == {f"0.0.0.0:{programs.PORT}", f"0.0.0.0:{programs.PORT + 1}"}


def test_states_are_in_order_and_no_handshake_stands_behind_its_socket(moment: Quiet) -> None:
    tables = moment.lab.recording.tables
    assert all(a.time_ns <= b.time_ns for a, b in pairwise(tables.states))
    syns = {p.connection: p.time_ns for p in tables.packets if p.tcp_flags == "SYN"}
    for row in tables.states:
        if row.connection is not None and row.state != "SYN-SENT":
            assert row.time_ns > syns[row.connection]


def test_the_recording_says_how_often_it_looked(moment: Quiet) -> None:
    witness = moment.lab.recording.raw.description.witnesses[-1]
    assert witness.startswith(
        "states: TCP_INFO, queues and memory of TCP sockets, of all hosts (sock_diag), every 2ms: "
    )
    looks = int(re.search(r": ([\d,]+) looks", witness)[1].replace(",", ""))  # type: ignore[index]
    assert looks > 20


def test_a_look_lasts_less_than_a_millisecond(moment: Quiet) -> None:
    """The tables of a lab's host are small; half of the looks say enough on a busy machine."""
    within = sorted(one.within_ns for one in moment.lab.recording.raw.samples)
    assert within[len(within) // 2] < 1_000_000


# -- the commands ----------------------------------------------------------------------------------


def test_run_samples_both_hosts(tmp_path: Path) -> None:
    """On a way so long that a look comes within the first round trip, however late it is."""
    done = run_netlab(
        tmp_path, "run", "--size", 200_000, "--messages", 1, "--wire", "delay 200ms",
        "--sample", "5ms", "--quiet", "-o", "a.pcapng",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    raw = read_raw(tmp_path / "a.pcapng")
    assert "--sample 5ms" in raw.description.title
    tables = analyse(raw)
    seen = {(row.connection, row.side, row.host) for row in tables.states if row.connection == 0}
    assert seen == {(0, "client", "client"), (0, "server", "server")}
    windows = [row.snd_cwnd for row in tables.states if row.side == "client" and row.snd_cwnd]
    assert windows[0] == 10  # RFC 6928
    assert max(windows) > 10
    shown = run_netlab(tmp_path, "inspect", "a.pcapng", "-c", "0", "--states").stdout
    assert f"10 … {max(windows)} segments" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_lab_samples_programs_that_netlab_knows_nothing_of(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(bytes(300_007))
    done = run_netlab(
        tmp_path, "lab", "--server", "python3 -m http.server 8000",
        "--client", "curl -s -o /dev/null http://server:8000/page",
        "--wire", "delay 100ms", "--sample", "2ms", "-o", "a.pcapng",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tables = analyse(read_raw(tmp_path / "a.pcapng"))
    mine = [row for row in tables.states if row.connection == 0 and row.side == "server"]
    assert {row.host for row in mine} == {"server"}
    assert max(row.outq_bytes or 0 for row in mine) > 14_480  # more than the first flight
    assert mine[-1].state in ("FIN-WAIT-1", "FIN-WAIT-2", "LAST-ACK", "CLOSE-WAIT", "ESTABLISHED")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lab", "--server", "true", "--sample", "often"), "'often' is no time: write a time such"),
        (("lab", "--server", "true", "--sample", "1us"), "1us is not in the range of 1ms to 3600s"),
        (("run", "--loopback", "--sample", "10ms"), "--sample looks at the sockets of a lab's"),
    ],
)
def test_what_cannot_be_sampled_is_a_mistake(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = run_netlab(tmp_path, *words)
    assert done.returncode == 2
    assert said in complaint(done)
