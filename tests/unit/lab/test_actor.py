"""What a program of a lab wrote, and how it ended, as whoever started it sees it."""

from __future__ import annotations

import os
import signal

import pytest

from netlab.lab.actor import KEPT_BYTES, Output, Program


def written(data: bytes) -> Output:
    """An output whose writer has written this and is gone."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    output = Output(read_end)
    with os.fdopen(write_end, "wb", buffering=0) as pipe:
        view = memoryview(data)
        while view:
            view = view[pipe.write(view[:50_000]) :]
            output.read()
    while output.read():
        pass
    assert output.descriptor == -1
    return output


def test_only_the_end_of_a_long_output_is_kept() -> None:
    output = written(b"x" * KEPT_BYTES + b"the end")
    assert len(output.data) == KEPT_BYTES
    assert output.data.endswith(b"the end")
    assert output.read() is False


def test_an_output_that_says_nothing_yet() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    output = Output(read_end)
    assert output.read() is True
    output.close()
    os.close(write_end)


@pytest.mark.parametrize(
    ("stdout", "stderr", "last"),
    [
        (b"a\nb\n", b"", "b"),
        (b"a\n", b"Traceback\n  x\nValueError: y\n\n", "ValueError: y"),
        (b"", b"", ""),
        (b"\xff\n", b"", "\ufffd"),
    ],
)
def test_the_last_words(stdout: bytes, stderr: bytes, last: str) -> None:
    outputs = {"stdout": written(stdout), "stderr": written(stderr)}
    assert Program("server", "server", outputs).last_words == last


@pytest.mark.parametrize(
    ("status", "code"), [(0, 0), (7, 7), (-signal.SIGKILL, 137), (-signal.SIGINT, 130)]
)
def test_exit_codes_are_a_shells(status: int, code: int) -> None:
    program = Program("client", "client", {}, status=status)
    assert not program.running
    assert program.exit_code == code


def test_a_functions_value_is_what_it_reported() -> None:
    assert Program("a", "a", {"report": written(b'{"x": [1]}')}).value == {"x": [1]}
    assert Program("a", "a", {"report": written(b"")}).value is None
    assert Program("a", "a", {}).value is None


def test_a_last_line_fits_an_error() -> None:
    program = Program("server", "server", {"stdout": written(b"first\n" + b"x" * 9973)})
    assert program.last_words == "x" * 299 + "…"


def test_whether_it_spoke_of_root() -> None:
    refused = b'"root" execution of the server is not permitted.\nSee the documentation\n'
    outputs = {"stdout": written(b""), "stderr": written(refused)}
    assert Program("server", "server", outputs).spoke_of_root
    assert not Program("server", "server", {"stdout": written(b"no such file")}).spoke_of_root
