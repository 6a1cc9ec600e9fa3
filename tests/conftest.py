"""What every test shares: where sample captures lie, golden files, and who may run what."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from golden_files import GOLDEN
from hypothesis import settings
from sample_captures import CAPTURES

# How long an example takes says much of what else the machine does, and nothing of the code.
settings.register_profile("netlab", deadline=None)
settings.load_profile("netlab")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files instead of comparing"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Whoever runs the tests in the background may have these ignored, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Long tests and figures run only when asked for by marker.
    if not config.option.markexpr:
        config.option.markexpr = "not slow and not bench"


def pytest_report_header() -> str:
    return (
        f"sample captures by others: {CAPTURES}"
        if CAPTURES.is_dir()
        else f"no sample captures at {CAPTURES}: tests on them are left out (set NETLAB_CAPTURES)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What this user or machine cannot run is deselected and counted, never skipped.

    In CI the sample captures must be there: their tests stay in and fail without them.
    """

    def left_out(item: pytest.Item) -> bool:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            return True
        wants_captures = "captures_dir" in getattr(item, "fixturenames", ())
        return wants_captures and not CAPTURES.is_dir() and not os.environ.get("CI")

    deselected = [item for item in items if left_out(item)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test in CI is a failure: what did not run proved nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def captures_dir() -> Path:
    """The sample captures by others; NETLAB_CAPTURES says where, else they lie beside the clone."""
    assert CAPTURES.is_dir(), f"no sample captures at {CAPTURES}: set NETLAB_CAPTURES"
    return CAPTURES


@pytest.fixture(scope="module", params=["plain", "native", "native in two threads"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """What runs the engine's kernels; the compiled ones are made once and kept."""
    if request.param == "plain":
        from netlab.engine.plain import Plain

        yield Plain()
        return
    from netlab.engine.native import Native

    with pytest.MonkeyPatch.context() as patch:
        made = Native()
        if "two" in request.param:
            patch.setenv("NETLAB_THREADS", "2")
            made.piece_bytes = (
                4 << 10
            )  # so that files of tests have many: threads meet at their ends
        else:
            patch.setenv("NETLAB_THREADS", "1")
        yield made


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with tests/golden/NAME; `--update-golden` writes it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"no golden file {path.name}: run once with --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return compare
