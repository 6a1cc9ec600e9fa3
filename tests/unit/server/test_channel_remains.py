"""What channels leave behind: nothing, whoever is killed; and what they say when not to be had."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import posix_ipc
import pytest
import sysv_ipc
from channel_pairs import pair
from forked import forked

from netlab.model.errors import UsageError
from netlab.server.channels import Channel, channel_from, make_pair
from netlab.server.channels.janitor import janitor_fd, tell
from netlab.server.plain import PlainProbe

WITHIN_S = 20.0


def keys_of(description: str) -> list[int]:
    return [int(word) for word in description.split()[2:]]


def exists(key: int) -> bool:
    try:
        sysv_ipc.MessageQueue(key)
    except sysv_ipc.ExistentialError:
        return False
    return True


def all_gone(keys: list[int]) -> bool:
    """Whether the queues are gone, now or within the time that a janitor may take."""
    deadline = time.monotonic() + WITHIN_S
    while any(map(exists, keys)):
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


def posix_queues() -> set[str]:
    """What mq_open could find, where the file system of the queues is mounted."""
    with suppress(FileNotFoundError):
        return set(os.listdir("/dev/mqueue"))
    return set()


def test_who_closes_last_removes_the_queues() -> None:
    one, other = make_pair("sysv_mq", PlainProbe())
    keys = keys_of(one.handover()[0])
    assert all(map(exists, keys))
    one.close()
    assert all(map(exists, keys))  # the other may still have something to read
    other.close()
    assert not any(map(exists, keys))


def test_a_killed_process_leaves_removal_to_the_other() -> None:
    one, other = make_pair("sysv_mq", PlainProbe())
    keys = keys_of(one.handover()[0])
    pid = forked(lambda: os.kill(os.getpid(), signal.SIGKILL))
    os.waitpid(pid, 0)
    other.close()
    one.close()
    assert not any(map(exists, keys))


TALKER = """
import os, signal, sys
from netlab.server.channels import make_pair
from netlab.server.plain import PlainProbe
one, other = make_pair("sysv_mq", PlainProbe())
child = os.fork()
if child == 0:
    one.close()
    other.send(b"a")
    signal.pause()
other.close()
one.wait(20)
print(child, one.handover()[0], flush=True)
signal.pause()
"""


def test_when_both_ends_are_killed_the_janitor_removes_the_queues() -> None:
    with subprocess.Popen([sys.executable, "-c", TALKER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child, description = process.stdout.readline().decode().split(maxsplit=1)
        keys = keys_of(description)
        assert all(map(exists, keys))
        process.kill()
        os.kill(int(child), signal.SIGKILL)
    assert all_gone(keys)


def test_the_janitor_is_no_child_of_ours_and_outlives_nobody() -> None:
    with pair("sysv_mq"), pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    queue = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX, mode=0o600)

    def forget_it() -> None:
        tell(janitor_fd(), "-", queue.id)

    os.waitpid(forked(forget_it), 0)
    assert exists(queue.key)  # a word of its removal is no removal
    queue.remove()


def test_posix_queues_have_no_name_once_made() -> None:
    before = posix_queues()
    with pair("posix_mq") as (one, _):
        assert posix_queues() == before
        numbers = one.handover()[1]
        targets = [os.readlink(f"/proc/self/fd/{fd}") for fd in numbers[:2]]
    assert all(target.endswith("(deleted)") for target in targets)


def test_smaller_queues_where_the_user_has_used_up_the_room() -> None:
    def use_up() -> None:
        soft = min(200_000, resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1])
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (soft, soft))
        made: list[tuple[Channel, Channel]] = []
        with suppress(UsageError):
            while True:
                made.append(make_pair("posix_mq", PlainProbe()))
        with pytest.raises(UsageError, match="RLIMIT_MSGQUEUE"):
            make_pair("posix_mq", PlainProbe())
        sizes = [one.limit_bytes for one, _ in made]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) > 1
        one, other = made[-1]
        one.send(bytes(3 * one.limit_bytes))
        assert other.receive() == [bytes(3 * one.limit_bytes)]

    assert os.waitpid(forked(use_up), 0)[1] == 0


@pytest.mark.parametrize(
    ("kind", "package", "description"),
    [("posix_mq", "posix_ipc", "posix_mq 8192"), ("sysv_mq", "sysv_ipc", "sysv_mq 8192 1 2")],
)
def test_a_missing_package_says_what_to_install(
    kind: str, package: str, description: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"{package}.*pip install netlab\[ipc\]"):
        make_pair(kind, PlainProbe())
    with pytest.raises(UsageError, match=package):
        channel_from(description, (0, 0, 0, 0), PlainProbe())


def test_a_ring_is_refused_where_stores_are_reordered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UsageError, match="aarch64"):
        make_pair("ring", PlainProbe())


def test_packages_are_imported_only_when_chosen() -> None:
    program = (
        "import sys; from netlab.server.channels import make_pair; "
        "from netlab.server.plain import PlainProbe; make_pair('ring', PlainProbe()); "
        "print({'posix_ipc', 'sysv_ipc'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.strip() == "set()"


def test_names_of_queues_differ_from_those_of_others() -> None:
    name = f"/netlab-test-{os.getpid()}"
    queue = posix_ipc.MessageQueue(name, posix_ipc.O_CREX, mode=0o600)
    try:
        with pair("posix_mq") as (one, other):
            one.send(b"ours")
            assert other.receive() == [b"ours"]
        assert queue.current_messages == 0
    finally:
        queue.close()
        posix_ipc.unlink_message_queue(name)
