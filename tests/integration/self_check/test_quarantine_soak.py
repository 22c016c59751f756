"""Quarantine under many processes: they check, read and forget the same verdict at once, and none is led astray."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_runtime.loading import load

MakeFake = Callable[..., Path]

PROCESSES, ROUNDS = 10, 3

#: Waits for the file `go`, then loads the bundle again and again; the first process forgets the verdict each time.
PROGRAM = """
import json, pathlib, sys, time
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.loading import load
from edgeai_runtime.verdicts import forget_verdicts, quarantined

path, go, number, rounds = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
digest = open_bundle(path).digest
print("ready", flush=True)
while not go.exists():
    time.sleep(0.01)
told = []
for _ in range(rounds):
    if number == 0:
        forget_verdicts(digest)
    with load(path, threads=1) as model:
        first = model.placement.attempts[0]
        told.append([model.placement.delegate, first.outcome, first.reason, model([[1.0, 2.0]]).tolist()])
    assert all(one.trials[0].detail for one in quarantined(digest))
print(json.dumps(told))
"""


def test_many_processes_come_to_one_verdict_about_a_delegate_that_crashes(
    make_fake: MakeFake, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_fake(delegates=("fake:cpu", "fake:gpu"), faults={"fake:gpu": {"on_run": "segfault"}})
    go = tmp_path / "go"
    command = [sys.executable, "-c", PROGRAM, str(path), str(go)]
    processes = [
        subprocess.Popen(
            [*command, str(number), str(ROUNDS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    said = [process.communicate(timeout=120) for process in processes]

    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, said, strict=True)] == [
        (0, "")
    ] * PROCESSES
    for output, _ in said:
        for delegate, outcome, reason, result in json.loads(output):
            assert (delegate, result) == ("fake:cpu", [[2.0, 4.0]])
            assert outcome in ("failed", "skipped")
            assert "crashed (signal SIGSEGV)" in reason
    load(path, threads=1).close()
    (verdict,) = (file for file in (cache / "verdicts").rglob("*") if file.is_file())  # one, and nothing left beside it
    assert verdict.name.endswith(".bad.json")
    assert json.loads(verdict.read_bytes())["delegate"] == "fake:gpu"
    monkeypatch.setattr("edgeai_runtime.isolation.call_in_child", None)  # it counts: nobody checks again
    with load(path, threads=1) as model:
        assert model.placement.attempts[0].outcome == "skipped"
