"""What bad luck gets: one line, the right exit code, nothing left behind, and a file that opens.

Each runs `netlab` as a process of its own. What needs a machine that forbids things gets it from a
user namespace: uid 1000 in there holds nothing outside, and its limits are its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from lab_process import LIMIT_S, ORDINARY_USER, Running, complaint, netlab_arguments, run_netlab
from private_network import become, in_child
from steady_clock import in_steady_time

import netlab
from netlab.capture.files import read_raw, recover
from netlab.correlate.ledger import ledger_mismatches
from netlab.explain.analysis import analyse
from netlab.model.recording import RawRecording
from netlab.model.tables import Role

everywhere = pytest.mark.parametrize("place", ["--loopback", "--lab"])
AT_WORK = ("--messages", "100000", "--think", "5")
# In a user namespace of our own, where no further namespace may be made.
FORBID = "echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_net_namespaces"


def forbidden(then: str) -> tuple[str, ...]:
    """Run what follows where namespaces are refused; `then` is a shell's words before it."""
    return ("unshare", "--map-root-user", "--net", "sh", "-c", f'{FORBID} && {then} "$@"', "sh")


def opens(folder: Path) -> RawRecording:
    """The recording in `folder`, which must be the only thing there."""
    assert sorted(path.name for path in folder.iterdir()) == ["a.pcapng"]
    raw = read_raw(folder / "a.pcapng")
    assert raw.faults == []
    assert subprocess.run(
        ["tshark", "-n", "-r", folder / "a.pcapng"], capture_output=True
    ).returncode == 0  # fmt: skip
    return raw


def test_an_unknown_scenario_gets_the_list(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "ehco")
    assert done.returncode == 2
    assert "'ehco'" in complaint(done)
    assert "there is echo" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--messages", "0"),
        ("--size", "none"),
        ("--udp", "--size", "70000"),
        ("--udp", "--nodelay"),
        ("--queues", "always"),
        ("--port", "65536"),
        ("--user", "no-such-user"),
        ("--think", "nan"),
        ("-o", "-"),
        ("-o", "."),
        ("-o", ".."),
        ("-o", ""),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run_netlab(tmp_path, "run", *arguments)
    assert done.returncode == 2
    complaint(done)
    assert list(tmp_path.iterdir()) == []


def test_more_clients_than_open_files(tmp_path: Path) -> None:
    few = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
    done = run_netlab(tmp_path, "run", "--clients", "100", before=few)
    assert done.returncode == 2
    assert "100 clients need 232 open files, and only 64 are allowed" in complaint(done)
    assert list(tmp_path.iterdir()) == []


@everywhere
def test_the_limit_of_open_files_is_raised_as_far_as_needed(tmp_path: Path, place: str) -> None:
    few = ("sh", "-c", 'ulimit -Sn 24; exec "$@"', "sh")
    done = run_netlab(tmp_path, "run", place, "-o", "a.pcapng", "--clients", "23", before=few)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(analyse(opens(tmp_path)).connections) == 23


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "-o", "nowhere/a.pcapng")
    assert done.returncode == 2
    assert "cannot write nowhere/a.pcapng: its folder does not exist" in complaint(done)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_one_may_not_write(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "-o", "/proc/a.pcapng")
    assert done.returncode == 2
    assert "/proc/a.pcapng" in complaint(done)


def test_never_through_a_symbolic_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    (tmp_path / "a.pcapng").symlink_to(target)
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng")
    assert done.returncode == 2
    assert "a.pcapng" in complaint(done)
    assert target.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pcapng", "precious"]


def test_a_killed_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").write_text("what is left")
    (tmp_path / "a.pcapng.spools").mkdir()
    (tmp_path / "a.pcapng.spools" / "1-1.spool").write_text("calls")
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng")
    assert done.returncode == 2
    assert "netlab recover" in complaint(done)
    assert (tmp_path / "a.pcapng").read_text() == "what is left"


def test_a_recording_under_way_is_not_taken_for_a_killed_one(tmp_path: Path) -> None:
    running = Running(tmp_path, *AT_WORK)
    second = subprocess.run(
        netlab_arguments("run", "-o", "a.pcapng"), cwd=tmp_path, capture_output=True, text=True
    )
    running.signal(running.family.main, signal.SIGINT)
    running.end()
    assert second.returncode == 2
    assert complaint(second).startswith("netlab: a.pcapng is being recorded by another netlab")
    opens(tmp_path)


def test_no_namespaces_but_the_right_to_capture(tmp_path: Path) -> None:
    def record() -> RawRecording:
        done = run_netlab(tmp_path, "run", "-o", "a.pcapng", before=forbidden("ip link set lo up;"))
        assert (done.returncode, done.stderr) == (0, "")
        assert "machine's own loopback" in " ".join(done.stdout.split())
        return opens(tmp_path)

    raw = in_steady_time(record)
    assert any("no namespaces here" in note for note in raw.description.notes)
    assert analyse(raw).unmatched == []


def test_neither_namespaces_nor_the_right_to_capture(tmp_path: Path) -> None:
    without = "exec setpriv --bounding-set -all --inh-caps -all --ambient-caps -all"
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", before=forbidden(without))
    assert done.returncode == 3
    assert "user.max_user_namespaces" in complaint(done)
    assert "netlab doctor" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["max_pid_namespaces", "max_mnt_namespaces"])
def test_one_kind_of_namespaces_is_refused_and_capture_too(tmp_path: Path, kind: str) -> None:
    """Root of a user namespace seems to have the right, but not on a network from outside."""
    forbid = f'echo 0 > /proc/sys/user/{kind} && exec "$@"'
    before = ("unshare", "--map-root-user", "sh", "-c", forbid, "sh")
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", before=before)
    assert done.returncode == 3
    assert "neither namespaces (mount and process namespaces: No space" in complaint(done)
    assert f"sysctl user.{kind}=10000" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_loopback_that_is_down(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", before=forbidden("exec"))
    assert done.returncode == 1
    assert "the client gave up: Network is unreachable (ENETUNREACH): is lo up?" in complaint(done)
    opens(tmp_path)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """On the machine's own loopback, as in the lab nobody else could hold it."""
    taker = (
        "ip link set lo up; python3 -c '"
        + (
            'import os, socket, sys; s = socket.create_server(("127.0.0.1", 7777)); '
            'sys.exit(__import__("subprocess").call(sys.argv[1:]))'
        )
        + "'"
    )
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", before=forbidden(taker))
    assert done.returncode == 2
    assert "port 7777 of 127.0.0.1 is taken" in complaint(done)
    assert "--port" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@everywhere
def test_interrupted_in_the_middle(tmp_path: Path, place: str, number: int, code: int) -> None:
    running = Running(tmp_path, place, *AT_WORK)
    running.signal(running.family.main, number)
    done = running.end()
    assert done.returncode == code
    assert "kept in a.pcapng" in complaint(done)
    raw = opens(tmp_path)
    assert raw.description.form == "finished"
    said = f"interrupted by {signal.Signals(number).name}: the run was not over"
    assert said in raw.description.notes
    tables = analyse(raw)
    assert tables.unmatched == []
    assert len(raw.frames) > 3
    assert {call.actor for call in raw.calls if call.op == "exit"} == {"server", "client"}


@everywhere
def test_interrupted_twice_it_hurries(tmp_path: Path, place: str) -> None:
    running = Running(tmp_path, place, *AT_WORK)
    running.signal(running.family.server, signal.SIGSTOP)  # will not stop in order
    running.signal(running.family.main, signal.SIGINT)
    running.signal(running.family.main, signal.SIGTERM)
    done = running.end()
    assert done.returncode in (130, 143)  # whichever Python handled first
    complaint(done)
    opens(tmp_path)


@everywhere
@pytest.mark.parametrize("victim", ["server", "client"])
def test_a_program_that_is_killed(tmp_path: Path, victim: str, place: str) -> None:
    running = Running(tmp_path, place, *AT_WORK)
    running.signal(getattr(running.family, victim))
    done = running.end()
    assert done.returncode == 1
    assert f"the {victim} died (SIGKILL)" in complaint(done)
    assert "a.pcapng" in done.stderr
    raw = opens(tmp_path)
    assert raw.description.form == "finished"
    ends = {call.actor: call.args for call in raw.calls if call.op == "exit"}
    assert ends[victim] == "SIGKILL"
    assert len(ends) == 2
    tables = analyse(raw)
    (end,) = [call for call in tables.calls if (call.op, call.actor) == ("exit", victim)]
    closing = {Role.FIN, Role.RST}  # the kernel's, for the process that could not close
    assert closing & {span.role for span in tables.spans if span.call == end.call}
    # A call that was cut off may have moved bytes, and the peer may have written to nobody.
    assert {u.reason for u in tables.unmatched} <= {"reset before delivery", "call still inside"}
    assert ledger_mismatches(tables) == []


@everywhere
@pytest.mark.parametrize("victim", ["helper", "init"])
def test_the_house_is_killed(tmp_path: Path, victim: str, place: str) -> None:
    running = Running(tmp_path, place, *AT_WORK)
    running.signal(getattr(running.family, victim))
    done = running.end()
    assert done.returncode == 1
    assert "helper died" in complaint(done)
    raw = opens(tmp_path)
    ends = {call.actor: call.args for call in raw.calls if call.op == "exit"}
    assert ends == {"server": "SIGKILL", "client": "SIGKILL"}


@everywhere
def test_netlab_itself_is_killed(tmp_path: Path, place: str) -> None:
    running = Running(tmp_path, place, *AT_WORK)
    networks = os.readlink(f"/proc/{running.family.server}/ns/net")
    running.signal(running.family.main)
    done = running.end()
    assert done.returncode == -signal.SIGKILL
    assert networks not in networks_in_use()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["a.pcapng", "a.pcapng.spools"]
    live = read_raw(tmp_path / "a.pcapng")
    assert live.description.form == "live"
    whole = recover(tmp_path / "a.pcapng")
    assert len(whole.calls) >= len(live.calls) > 0
    recovered = run_netlab(tmp_path, "recover", "a.pcapng")
    assert recovered.returncode == 0
    assert len(opens(tmp_path).calls) == len(whole.calls)


def test_netlab_is_killed_on_the_loopback_of_the_machine(tmp_path: Path) -> None:
    running = Running(tmp_path, *AT_WORK, before=forbidden("ip link set lo up; exec"))
    running.signal(running.family.main)
    assert running.end().returncode == -signal.SIGKILL
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["a.pcapng", "a.pcapng.spools"]


def networks_in_use() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found.add(os.readlink(entry / "ns" / "net"))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("size_kb", [64, 400, 3000])
def test_a_full_disk(tmp_path: Path, size_kb: int) -> None:
    """On a small file system of its own; what is there is looked at before it goes.

    Only the last has room for spools, which take the most of it, and hold calls for which there is
    none in the file.
    """
    recover = shlex.join(netlab_arguments("recover", "a.pcapng"))
    script = (
        f"mount -t tmpfs -o size={size_kb}k none {tmp_path} && cd {tmp_path} && "
        f'"$@"; code=$?; ls > {tmp_path.parent}/left; '
        f"cp a.pcapng {tmp_path.parent}/kept; "
        f"mount -t tmpfs -o remount,size=64m none {tmp_path} && {recover} > /dev/null || exit 99; "
        f"ls > {tmp_path.parent}/then; cp a.pcapng {tmp_path.parent}/recovered; exit $code"
    )
    arguments = netlab_arguments(
        "run", "--loopback", "-o", "a.pcapng", "--messages", "2000", "--size", "4093", "--quiet"
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *arguments],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "o space left" in complaint(done)
    raw = read_raw(tmp_path.parent / "kept")
    assert raw.description.netlab_version
    (loss,) = [loss for loss in raw.losses if loss.witness == "recorder"]
    assert (loss.what, loss.reason) == ("frames and calls", "no space left on device")
    file, *spools = (tmp_path.parent / "left").read_text().split()
    assert (file, spools) in [("a.pcapng", []), ("a.pcapng", ["a.pcapng.spools"])]
    assert spools or size_kb < 3000
    assert ("netlab recover a.pcapng" in done.stderr) == bool(spools)
    assert (tmp_path.parent / "then").read_text() == "a.pcapng\n"
    recovered = read_raw(tmp_path.parent / "recovered")
    assert len(recovered.frames) == len(raw.frames)
    assert [one.dropped for one in recovered.interfaces] == [None]
    (loss,) = [loss for loss in recovered.losses if loss.witness == "recorder"]
    if size_kb == 3000:
        assert len(recovered.calls) > len(raw.calls)
        assert loss.what == "frames"
        assert {call.op for call in recovered.calls} > {"connect", "accept", "send", "recv"}


def test_at_the_spool_limit_the_run_goes_on_and_the_loss_is_shown(tmp_path: Path) -> None:
    done = run_netlab(
        tmp_path, "run", "--loopback", "-o", "a.pcapng", "--messages", "499",
        "--spool-limit", "65536",
    )  # fmt: skip
    assert done.returncode == 0
    assert "spool limit of 65536 bytes reached" in complaint(done)
    assert "--spool-limit" in done.stderr
    shown = " ".join(done.stdout.split())
    assert "lost probe: some calls of client lost, spool limit of 65536 bytes reached" in shown
    raw = opens(tmp_path)
    sent = sum(call.op == "send" and call.actor == "client" for call in raw.calls)
    assert 20 < sent < 499
    assert len(raw.frames) > 2 * 499  # the packets go on to the end


@pytest.mark.root
def test_root_does_not_write_where_a_stranger_reads(tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").write_text("theirs")
    os.chown(tmp_path / "a.pcapng", 65534, 65534)
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng")
    assert done.returncode == 2
    assert "user 65534" in complaint(done)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]
    assert (tmp_path / "a.pcapng").read_text() == "theirs"


@everywhere
@pytest.mark.root
def test_root_lets_the_programs_be_someone_else(tmp_path: Path, place: str) -> None:
    """Or says why not: nobody else can execute a Python that lies in root's own folder."""
    words = ("run", place, "-o", "a.pcapng", "--quiet", "--user", "nobody")
    done = run_netlab(tmp_path, *words)

    def may_run() -> bool:
        become(65534)
        needed = ((sys.executable, os.X_OK), (netlab.__file__, os.R_OK))
        return all(os.access(path, way) for path, way in needed)

    if in_child(may_run):
        assert (done.returncode, done.stderr) == (0, "")
        assert opens(tmp_path).description.notes == ()
    else:
        assert done.returncode == 3
        assert "--user" in complaint(done)
        assert list(tmp_path.iterdir()) == []


@everywhere
@pytest.mark.root
def test_under_sudo_netlab_goes_on_as_whoever_called_it(place: str) -> None:
    """With Debian's Python and a copy of netlab that everyone may read."""
    folder = Path(tempfile.mkdtemp(prefix="netlab-sudo-"))
    try:
        folder.chmod(0o755)
        shutil.copytree(Path(netlab.__file__).parent, folder / "netlab")
        (folder / "out").mkdir()
        os.chown(folder / "out", 65534, 65534)
        program = (
            "import os, sys; sys.path[:0] = sys.argv[1:3]\n"
            "from pathlib import Path\n"
            "from netlab.lab.session import RunOptions, run_scenario\n"
            f"result = run_scenario(RunOptions(path=Path('a.pcapng'), lab={place == '--lab'}))\n"
            "print(os.getresuid(), os.getresgid(), {c.actor for c in result.tables.calls})\n"
        )
        packages = sysconfig.get_paths()["purelib"]
        done = subprocess.run(
            ["/usr/bin/python3", "-I", "-c", program, str(folder), packages],
            cwd=folder / "out", capture_output=True, text=True, timeout=LIMIT_S,
            env={"SUDO_USER": "nobody", "SUDO_UID": "65534", "SUDO_GID": "65534",
                 "PATH": os.environ["PATH"]},
        )  # fmt: skip
        assert done.stderr == ""
        same = (65534,) * 3
        assert done.stdout.startswith(f"{same} {same} {{")
        assert "server" in done.stdout
        found = (folder / "out" / "a.pcapng").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o600)
        assert len(opens(folder / "out").calls) > 20
    finally:
        shutil.rmtree(folder)


@pytest.mark.root
def test_plain_root_is_told_that_nothing_was_dropped(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "-o", "a.pcapng", "--user", "root")
    assert done.returncode == 0
    assert " ".join(done.stdout.split()).count("programs ran as root") == 1


def test_only_root_may_choose_the_user(tmp_path: Path) -> None:
    done = run_netlab(tmp_path, "run", "--user", "root", before=ORDINARY_USER)
    assert done.returncode == 2
    assert "only root" in complaint(done)


def test_the_lab_uses_no_port_of_the_machine(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_netlab(tmp_path, "run", "-o", "a.pcapng", "--quiet", "--port", str(port))
    assert (done.returncode, done.stderr) == (0, "")
    (connection,) = analyse(opens(tmp_path)).connections
    assert (connection.server_port, connection.client_bytes) == (port, 300)
