"""Ctrl-C, a full disk and a second run: nothing is half-written, nothing that was finished is lost."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
_TIMEOUT_S = 300


def _command(folder: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "edgeai", "compress", str(EXAMPLE / "digits.onnx")),
        *("--data", str(EXAMPLE / "digits.npz"), "--preprocess", "scale:factor=0.0625", "--format", "onnx"),
        *("--work", str(folder / "work"), "-o", str(folder / "digits.edge"), *more),
    ]


def _finished(work: Path) -> set[str]:
    return {path.name for path in work.glob("*") if (path / "key.json").is_file()}


def test_an_interrupted_run_leaves_no_bundle_and_the_next_one_goes_on_where_it_was(tmp_path: Path) -> None:
    work = tmp_path / "work"
    running = subprocess.Popen(_command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + _TIMEOUT_S
    while not any(name.startswith("measure-") for name in _finished(work)) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, log = running.communicate(timeout=_TIMEOUT_S)
    kept = _finished(work)
    assert running.returncode == 130, log
    assert "interrupted" in log
    assert "Traceback" not in log
    assert not (tmp_path / "digits.edge").exists()
    assert list(work.glob(".making-*")) == []
    done = subprocess.run(_command(tmp_path, "--json"), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["resumed_steps"] >= len(kept)
    assert (tmp_path / "digits.edge").is_file()


def test_a_disk_that_is_full_is_a_clear_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    def limit() -> None:  # no file may grow over 100 kB: writes then fail as they do on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        _command(tmp_path, "--json"),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        preexec_fn=limit,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "OutputError"
    assert error["hint"]
    assert not (tmp_path / "digits.edge").exists()
    assert list((tmp_path / "work").glob(".making-*")) == []
