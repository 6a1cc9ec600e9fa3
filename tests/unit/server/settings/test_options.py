"""What users ask for: every name, every value that is refused and what the refusal says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from netlab.model.errors import UsageError
from netlab.server.settings.option_table import GROUPS, OPTION_NAMED, OPTIONS, Options
from netlab.server.settings.options import (
    framing_from,
    options_for_port,
    options_from,
    value_from_text,
)
from netlab.server.sockets.framing import FixedSize, LengthFunction, LengthPrefix, Terminator
from netlab.server.terms import DispatchKind, FramingKind, IpcKind, Mode, Overflow

MIB = 1 << 20

# The contract's names, as they are spelled.
NAMES = [
    "mode",
    "workers",
    "reactors",
    "tasks",
    "poller",
    "ipc",
    "dispatch",
    "dispatch_func",
    "max_requests",
    "max_requests_jitter",
    "task_max_requests",
    "memory_limit",
    "boot_fail_limit",
    "backlog",
    "max_connections",
    "max_per_client",
    "reuse_port",
    "nodelay",
    "cork",
    "quickack",
    "defer_accept",
    "fastopen",
    "keepalive",
    "keepalive_idle",
    "keepalive_interval",
    "keepalive_count",
    "user_timeout",
    "linger",
    "rcvbuf",
    "sndbuf",
    "notsent_lowat",
    "output_buffer",
    "high_watermark",
    "low_watermark",
    "overflow",
    "input_limit",
    "recv_size",
    "accepts_per_wake",
    "on_emfile",
    "handshake_timeout",
    "idle_timeout",
    "read_timeout",
    "write_timeout",
    "request_timeout",
    "drain_timeout",
    "framing",
    "terminator",
    "length_type",
    "length_offset",
    "body_offset",
    "length_function",
    "fixed_size",
    "max_message",
    "half_close",
    "log_file",
    "pid_file",
    "user",
    "group",
    "status",
]


def length_of(view: memoryview) -> int:
    return len(view)


def worker_of(session: int, data: bytes) -> int:
    return 0


def test_the_table_has_exactly_the_names_of_the_contract() -> None:
    assert {option.name for option in OPTIONS} == set(NAMES)
    assert len(OPTIONS) == len(NAMES)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_row_is_whole(option: Any) -> None:
    assert option.group in GROUPS
    assert option.text
    assert option.text == option.text.strip()
    assert option.kind.check(option.default) == option.default
    if isinstance(option.default, float):
        assert option.unit == "seconds"
    if isinstance(option.default, int) and not isinstance(option.default, bool):
        assert option.unit, "a number has a unit"


def test_no_name_of_swooles_means_two_things() -> None:
    names = [alias.name for option in OPTIONS for alias in option.swoole]
    assert len(names) == len(set(names))
    for option in OPTIONS:
        for alias in option.swoole:
            assert alias.name not in OPTION_NAMED or alias.name == option.name


def test_defaults_are_what_options_from_makes_of_nothing() -> None:
    assert options_from() == Options()
    assert options_from().given == frozenset()


def test_values_take_the_one_form() -> None:
    options = options_from(
        mode="base",
        overflow="close",
        idle_timeout=5,
        terminator="\n",
        log_file=Path("/x/y"),
        cork=1,
    )
    assert options.mode is Mode.BASE
    assert options.overflow is Overflow.CLOSE
    assert (options.idle_timeout, type(options.idle_timeout)) == (5.0, float)
    assert options.terminator == b"\n"
    assert options.log_file == "/x/y"
    assert options.cork is True
    assert options.given == {"mode", "overflow", "idle_timeout", "terminator", "log_file", "cork"}


SWOOLE: list[tuple[str, object, str, object]] = [
    ("worker_num", 4, "workers", 4),
    ("reactor_num", 2, "reactors", 2),
    ("max_request", 9, "max_requests", 9),
    ("max_request_grace", 3, "max_requests_jitter", 3),
    ("task_max_request", 9, "task_max_requests", 9),
    ("max_conn", 77, "max_connections", 77),
    ("max_connection", 77, "max_connections", 77),
    ("enable_reuse_port", True, "reuse_port", True),
    ("open_tcp_nodelay", False, "nodelay", False),
    ("tcp_defer_accept", 3, "defer_accept", 3),
    ("tcp_fastopen", 5, "fastopen", 5),
    ("open_tcp_keepalive", 1, "keepalive", True),
    ("tcp_keepidle", 4, "keepalive_idle", 4),
    ("tcp_keepinterval", 4, "keepalive_interval", 4),
    ("tcp_keepcount", 4, "keepalive_count", 4),
    ("tcp_user_timeout", 1500, "user_timeout", 1.5),
    ("kernel_socket_recv_buffer_size", 4096, "rcvbuf", 4096),
    ("kernel_socket_send_buffer_size", 4096, "sndbuf", 4096),
    ("socket_buffer_size", 8 * MIB, "output_buffer", 8 * MIB),
    ("output_buffer_size", 8 * MIB, "output_buffer", 8 * MIB),
    ("buffer_high_watermark", MIB, "high_watermark", MIB),
    ("buffer_low_watermark", 10, "low_watermark", 10),
    ("max_queued_bytes", 10, "input_limit", 10),
    ("heartbeat_idle_time", 60, "read_timeout", 60.0),
    ("max_idle_time", 60, "idle_timeout", 60.0),
    ("send_timeout", 60, "write_timeout", 60.0),
    ("max_wait_time", 60, "drain_timeout", 60.0),
    ("open_eof_split", True, "framing", FramingKind.TERMINATOR),
    ("open_eof_check", True, "framing", FramingKind.TERMINATOR),
    ("open_length_check", True, "framing", FramingKind.LENGTH),
    ("package_eof", "\r\n\r\n", "terminator", b"\r\n\r\n"),
    ("package_length_type", "n", "length_type", "n"),
    ("package_length_offset", 2, "length_offset", 2),
    ("package_body_offset", 8, "body_offset", 8),
    ("package_length_func", length_of, "length_function", length_of),
    ("package_max_length", 100, "max_message", 100),
    ("dispatch_mode", 1, "dispatch", DispatchKind.ROUND),
    ("dispatch_mode", 2, "dispatch", DispatchKind.FIXED),
    ("dispatch_mode", 3, "dispatch", DispatchKind.IDLE),
    ("dispatch_mode", 4, "dispatch", DispatchKind.ADDRESS),
    ("dispatch_mode", 5, "dispatch", DispatchKind.BOUND),
    ("task_ipc_mode", 1, "ipc", IpcKind.DGRAM),
    ("task_ipc_mode", 2, "ipc", IpcKind.SYSV_MQ),
    ("task_ipc_mode", 4, "ipc", IpcKind.STREAM),
    ("mode", 1, "mode", Mode.BASE),
    ("mode", 2, "mode", Mode.PROCESS),
    ("mode", 3, "mode", Mode.THREADS),
]


@pytest.mark.parametrize(("name", "value", "ours", "means"), SWOOLE)
def test_swooles_names_and_values(name: str, value: object, ours: str, means: object) -> None:
    options = options_from(**{name: value})
    assert getattr(options, ours) == means
    assert options.given == {ours}


def test_every_name_of_swooles_is_tested() -> None:
    tested = {name for name, _, _, _ in SWOOLE} | {"task_worker_num", "dispatch_func"}
    theirs = {alias.name for option in OPTIONS for alias in option.swoole}
    assert theirs - {option.name for option in OPTIONS} <= tested


def test_task_workers_and_dispatch_function_by_swooles_names() -> None:
    options = options_from(mode="process", task_worker_num=2, dispatch_mode=6,
                           dispatch_func=worker_of)  # fmt: skip
    assert (options.tasks, options.dispatch) == (2, DispatchKind.FUNCTION)


def test_a_switch_of_swooles_that_is_off_says_nothing() -> None:
    options = options_from(open_eof_check=False, open_length_check=True)
    assert options.framing is FramingKind.LENGTH
    assert options_from(open_eof_check=False).given == frozenset()


# Keywords, and words that the refusal must have.
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"bakclog": 1}, ["no option bakclog", "did you mean backlog?"]),
    ({"worker_nums": 1}, ["did you mean worker_num?"]),
    ({"xyzzy": 1}, ["no option xyzzy", "--help"]),
    ({"daemonize": True}, ["daemonize", "service manager"]),
    ({"heartbeat_check_interval": 5}, ["read_timeout"]),
    ({"backlog": "many"}, ["backlog is 'many'", "whole number from 0"]),
    ({"backlog": -1}, ["backlog is -1"]),
    ({"backlog": 1.5}, ["backlog is 1.5"]),
    ({"backlog": True}, ["backlog is True"]),
    ({"workers": 0}, ["from 1"]),
    ({"max_connections": 1 << 21}, ["to 1048576"]),
    ({"nodelay": "yes"}, ["yes or no"]),
    ({"nodelay": 2}, ["yes or no"]),
    ({"idle_timeout": -1}, ["seconds, 0 to 1,000,000"]),
    ({"idle_timeout": float("nan")}, ["idle_timeout is nan"]),
    ({"idle_timeout": 1e7}, ["seconds, 0 to 1,000,000"]),
    ({"tcp_user_timeout": 2_000_000_000}, ["is 2000000000, user_timeout then 2000000.0"]),
    ({"idle_timeout": float("inf")}, ["idle_timeout is inf"]),
    ({"idle_timeout": "1"}, ["idle_timeout is '1'"]),
    ({"mode": "multi"}, ["mode is 'multi'", "single|threads|base|process"]),
    ({"mode": True}, ["mode is True"]),
    ({"dispatch_mode": 7}, ["dispatch_mode is 7"]),
    ({"task_ipc_mode": 3}, ["task_ipc_mode is 3"]),
    ({"length_type": "x"}, ["one of c C s S n v l L N V q Q J P"]),
    ({"log_file": 3}, ["log_file is 3"]),
    ({"log_file": Path}, ["log_file is"]),
    ({"length_function": 3}, ["length_function is 3", "a function"]),
    ({"terminator": ""}, ["terminator is ''", "not empty"]),
    ({"package_eof": b""}, ["package_eof is b''", "not empty"]),
    ({"terminator": 3}, ["terminator is 3"]),
    ({"tasks": 1}, ["single mode has no task workers", "mode=base"]),
    ({"mode": "threads", "tasks": 1}, ["threads mode has no task workers"]),
    ({"terminator": "\n", "fixed_size": 4}, ["two framings on one port"]),
    ({"framing": "length", "terminator": "\n"}, ["two framings on one port", "terminator"]),
    ({"framing": "none", "terminator": "\n"}, ["two framings on one port"]),
    ({"open_eof_split": True, "open_length_check": True}, ["two framings on one port"]),
    ({"open_length_check": True, "package_eof": "\n"}, ["two framings on one port"]),
    ({"length_type": "N", "length_function": length_of}, ["two framings on one port"]),
    ({"framing": "function"}, ["length_function"]),
    ({"framing": "fixed"}, ["give fixed_size"]),
    ({"fixed_size": 200, "max_message": 100}, ["200 bytes", "max_message is 100"]),
    ({"terminator": b"1234", "max_message": 3}, ["max_message at least 4"]),
    ({"length_type": "J", "max_message": 7}, ["max_message at least 8"]),
    ({"dispatch": "function"}, ["dispatch_func"]),
    ({"dispatch": "round", "dispatch_func": worker_of}, ["dispatch is round"]),
    ({"max_conn": 5, "max_connections": 6}, ["both mean max_connections", "differ"]),
    ({"mode": "base", "workers": 200}, ["more than 1048576 sessions", "at most 5242"]),
    ({"output_buffer": 100, "high_watermark": 101}, ["above output_buffer"]),
    ({"high_watermark": 100, "low_watermark": 101}, ["above high_watermark"]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "says"), REFUSED, ids=lambda part: str(part)[:40])
def test_refusals_say_what_is_wrong_and_what_to_do(given: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        options_from(**given)
    for part in says:
        assert part in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_one_option_by_two_names_with_one_value_is_no_contradiction() -> None:
    assert options_from(max_conn=5, max_connection=5, max_connections=5).max_connections == 5


def test_a_framing_follows_from_its_parameters() -> None:
    assert options_from(terminator="\n").framing is FramingKind.TERMINATOR
    assert options_from(length_type="n").framing is FramingKind.LENGTH
    assert options_from(fixed_size=4).framing is FramingKind.FIXED
    assert options_from(length_function=length_of).framing is FramingKind.FUNCTION
    assert options_from(max_message=4).framing is FramingKind.NONE


def test_defaults_that_follow_from_others() -> None:
    assert options_from(length_type="n", length_offset=3).body_offset == 5
    assert options_from(length_type="n", body_offset=0).body_offset == 0
    options = options_from(output_buffer=1000)
    assert (options.high_watermark, options.low_watermark) == (800, 200)
    options = options_from(high_watermark=100)
    assert (options.high_watermark, options.low_watermark) == (100, 100)
    assert options_from(high_watermark=0).low_watermark == 0
    assert options_from(dispatch_func=worker_of).dispatch is DispatchKind.FUNCTION


def test_setting_more_keeps_what_was_given_and_follows_anew() -> None:
    first = options_from(workers=3, output_buffer=1000)
    second = options_from(first, output_buffer=2000, mode="base")
    assert (second.workers, second.high_watermark, second.mode) == (3, 1600, Mode.BASE)
    assert second.given == {"workers", "output_buffer", "mode"}
    with pytest.raises(UsageError, match="two framings"):
        options_from(options_from(terminator="\n"), fixed_size=3)


def test_a_port_has_its_own_framing_in_place_of_the_servers() -> None:
    server = options_from(terminator="\n", max_message=99, nodelay=False)
    port = options_for_port(server, length_type="n")
    assert (port.framing, port.max_message, port.nodelay) == (FramingKind.LENGTH, 99, False)
    assert options_for_port(server, framing="none").framing is FramingKind.NONE
    assert options_for_port(server, rcvbuf=5).framing is FramingKind.TERMINATOR
    assert server.framing is FramingKind.TERMINATOR
    with pytest.raises(UsageError, match="two framings"):
        options_for_port(server, terminator="\n", fixed_size=3)


def test_a_port_cannot_have_its_own_processes() -> None:
    with pytest.raises(UsageError, match="workers is the same for all"):
        options_for_port(options_from(), worker_num=3)


def test_options_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        options_from().workers = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "stream", "first", "kind"),
    [
        ({"terminator": "|"}, b"a|b", b"a|", Terminator),
        ({"length_type": "C"}, b"\1ab", b"\1a", LengthPrefix),
        ({"fixed_size": 2}, b"abc", b"ab", FixedSize),
        ({"length_function": lambda view: 1}, b"a", b"a", LengthFunction),
    ],
)
def test_a_framing_for_each_connection(
    given: dict[str, Any], stream: bytes, first: bytes, kind: type
) -> None:
    make = framing_from(options_from(**given))
    assert make is not None
    one, other = make(), make()
    assert isinstance(one, kind)
    assert one.feed(stream)[0] == first
    assert other.pending == b""


def test_without_a_framing_there_is_nothing_to_feed() -> None:
    assert framing_from(options_from()) is None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("workers", "4", 4),
        ("worker_num", "4", 4),
        ("output_buffer", "2M", 2 * MIB),
        ("output_buffer", "64k", 1 << 16),
        ("linger", "-1", -1),
        ("nodelay", "off", False),
        ("nodelay", "Yes", True),
        ("open_eof_split", "1", True),
        ("idle_timeout", "1.5", 1.5),
        ("idle_timeout", "2s", 2.0),
        ("idle_timeout", "250ms", 0.25),
        ("tcp_user_timeout", "1500", 1500),
        ("mode", "base", Mode.BASE),
        ("mode", "PROCESS", Mode.PROCESS),
        ("dispatch_mode", "3", DispatchKind.IDLE),
        ("terminator", r"\r\n", b"\r\n"),
        ("terminator", r"\x00é", b"\0" + "é".encode()),
        ("length_type", "n", "n"),
        ("pid_file", "/run/x", "/run/x"),
    ],
)
def test_values_as_they_are_typed(name: str, text: str, value: object) -> None:
    parsed = value_from_text(name, text)
    assert parsed == value
    assert type(parsed) is type(value)
    options_from(**{name: parsed})  # what is parsed is taken


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workers", "four"), ("workers", "1.5"), ("workers", "0"), ("nodelay", "perhaps"),
        ("idle_timeout", "soon"), ("idle_timeout", "-1"), ("idle_timeout", "nan"),
        ("mode", "9"), ("mode", "many"), ("terminator", ""), ("terminator", "\\u20ac"),
        ("terminator", "\\"), ("length_type", "nn"), ("dispatch_func", "f"), ("nosuch", "1"),
    ],
)  # fmt: skip
def test_typed_values_that_are_refused(name: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        value_from_text(name, text)
    assert name in caught.value.message
    assert caught.value.hint
