"""Measure an artifact in its real engine, in a child process: outputs over samples, latency against float, memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeai_converters.evaluate.job import OUTPUTS_FILE, RESULT_FILE, Job
from edgeai_runtime.bundle_arrays import read_npz
from edgeai_runtime.errors import EngineError
from edgeai_runtime.manifest import Measurement

_TIMEOUT_S = 1800
_LOG_LINES = 12


def run_job(job: Job, folder: Path) -> None:
    """Run the job in a child process; its files are in `folder` afterwards.

    Raises:
        EngineError: the child failed, crashed or hung; the end of its log is in the message.
    """
    job.write(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "edgeai_converters.evaluate.measure_child", str(folder)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{Path(job.artifact).name}: measuring it was stopped after {_TIMEOUT_S} s.",
            hint="Use fewer samples, or a model that runs in reasonable time on this machine.",
        ) from error
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-_LOG_LINES:])
        how = f"crashed ({_signal_name(-done.returncode)})" if done.returncode < 0 else f"failed ({done.returncode})"
        raise EngineError(f"{Path(job.artifact).name}: the {job.format} engine {how} while it was measured.\n{tail}")


def read_measurement(folder: Path) -> Measurement:
    """Return the latency and memory that a timed job found."""
    found = _result(folder)
    return Measurement(
        engine=found["engine"],
        engine_version=found["engine_version"],
        delegate=found["delegate"],
        threads=found["threads"],
        latency_median_ms=found["latency_median_ms"],
        latency_p90_ms=found["latency_p90_ms"],
        latency_median_ci95_ms=tuple(found["latency_median_ci95_ms"]),
        speedup_vs_float=found["speedup_vs_float"],
        speedup_ci95=tuple(found["speedup_ci95"]),
        peak_memory_mib=found["peak_memory_mib"],
        machine=found["machine"],
    )


def read_outputs(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the outputs of a job, by the graph's output names, `[n, …]` in the order of the job's indices."""
    outputs: dict[str, NDArray[Any]] = read_npz(folder / OUTPUTS_FILE, where="measured outputs")
    return outputs


def _result(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text())
    return document


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
