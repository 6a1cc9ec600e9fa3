from __future__ import annotations

import pytest
from private_network import in_private_network

from netlab.lab import sysctls


def test_what_was_written_is_read_back() -> None:
    def work() -> sysctls.Setting:
        return sysctls.write("net.ipv4.tcp_retries2", "7")

    setting = in_private_network(work)
    assert setting.value == "7"
    assert setting.held


def test_a_write_that_the_kernel_refuses_shows_the_value_that_holds() -> None:
    def work() -> tuple[sysctls.Setting, str | None]:
        before = sysctls.read("net.ipv4.tcp_congestion_control")
        return sysctls.write("net.ipv4.tcp_congestion_control", "nosuch"), before

    setting, before = in_private_network(work)
    assert setting.value == before
    assert not setting.held


def test_tabs_between_values_do_not_count() -> None:
    def work() -> list[sysctls.Setting]:
        return sysctls.write_all((("net.ipv4.tcp_rmem", "4096 131072 6291456"),))

    (setting,) = in_private_network(work)
    assert setting.held


def test_a_sysctl_that_is_not_there_is_left_out() -> None:
    assert sysctls.read("net.ipv4.no_such_thing") is None
    assert sysctls.write_all((("net.ipv4.no_such_thing", "1"),)) == []
    assert sysctls.read_all(("net.ipv4.no_such_thing",)) == []


@pytest.mark.parametrize("name", ["tcp_rmem", "tcp_wmem", "tcp_timestamps", "tcp_sack",
                                  "tcp_slow_start_after_idle", "tcp_mtu_probing",
                                  "tcp_no_metrics_save", "tcp_autocorking", "tcp_fastopen",
                                  "tcp_retries1", "tcp_retries2", "tcp_congestion_control",
                                  "ip_unprivileged_port_start"])  # fmt: skip
def test_the_baseline_names_what_the_design_names(name: str) -> None:
    assert f"net.ipv4.{name}" in dict(sysctls.BASELINE)
