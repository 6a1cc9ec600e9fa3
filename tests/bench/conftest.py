"""What the benchmarks of servers share: the load client, compiled once."""

from __future__ import annotations

import resource

import pytest

from tests.bench.load_client import LoadClient


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> LoadClient:
    return LoadClient(tmp_path_factory.mktemp("load"))


@pytest.fixture
def descriptors() -> int:
    """Room for 10,000 connections in one process, as the limit of descriptors to give it."""
    wanted = 10_500
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.fail(f"RLIMIT_NOFILE cannot be raised to {wanted}: it ends at {hard}", pytrace=False)
    return wanted
