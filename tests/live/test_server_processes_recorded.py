"""A server of several processes, recorded: who called what, and the way of a message through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from family import both_modes, family

from netlab.capture.probe import SpoolReader
from netlab.correlate.join import correlate
from netlab.correlate.ledger import causal_violations, ledger_mismatches
from netlab.model.call import INBOUND, OUTBOUND
from netlab.model.recording import RawRecording
from netlab.model.tables import Tables

ASKED = 23


def tables_of(folder: Path) -> Tables:
    reader = SpoolReader(folder)
    calls = reader.finish()
    assert reader.losses == []
    return correlate(RawRecording(calls=calls, inheritances=reader.inheritances), [])


@pytest.mark.parametrize("ipc", ["seqpacket", "stream", "pipe"])
@pytest.mark.parametrize("reactors", [1, 2])
def test_the_way_of_a_message_through_process(tmp_path: Path, ipc: str, reactors: int) -> None:
    with family(
        "process", workers=1, tasks=1, ipc=ipc, reactors=reactors, record=str(tmp_path)
    ) as served:
        client = served.connect()
        for number in range(ASKED):
            assert client.ask(f"{number} + 1") == number + 1
        client.sock.close()
        served.wait("close")
        status, log = served.stop()
        assert status == 0, log
    tables = tables_of(tmp_path)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
    (tcp,) = [row.connection for row in tables.connections if row.protocol == "tcp"]
    about = [call for call in tables.calls if call.about == tcp and call.result]
    hub = "master/reactor-0" if reactors == 1 else "master"
    front = {"master/reactor-0", "master/reactor-1"}
    ways = [(call.actor, call.op in OUTBOUND) for call in about if call.op in OUTBOUND | INBOUND]
    assert ways.count((hub, True)) >= ASKED
    assert ways.count(("worker-0", True)) == ASKED + 1  # and the marker behind the client's FIN
    served_by = {
        call.actor
        for call in tables.calls
        if call.connection == tcp and call.op in OUTBOUND | INBOUND and call.side == "server"
    }
    assert len(served_by) == 1
    assert served_by <= front


@both_modes
def test_everybody_has_a_name(tmp_path: Path, mode: str) -> None:
    with family(mode, workers=2, tasks=1, record=str(tmp_path)) as served:
        client = served.connect()
        assert client.ask("server.task_wait('1', 10)") == 1
        served.kill(1)
        served.wait("after_reload")
        assert client.ask("1 + 1") == 2
        client.sock.close()
        status, log = served.stop()
        assert status == 0, log
    actors = {call.actor for call in SpoolReader(tmp_path).finish()}
    expected = {"worker-0", "worker-1", "task-0"}
    expected |= {"master/reactor-0", "manager"} if mode == "process" else {"manager"}
    assert expected <= actors
    assert actors - expected <= {"server"}  # before the first fork
    tables = tables_of(tmp_path)
    assert ledger_mismatches(tables) == []
    assert causal_violations(tables) == []
