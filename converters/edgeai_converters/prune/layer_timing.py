"""Many small artifacts timed side by side in their real engine, in one child process.

`time_artifacts` asks, `python -m edgeai_converters.prune.layer_timing FOLDER` answers. All artifacts are loaded, then
timed in rounds of short blocks whose order is drawn anew, as `edgeai_runtime.bench.loop` does. A round of hundreds of
artifacts lasts a second, though, and what other processes do to this one changes faster: times of a layer that is
measured ten times scatter by a third. So each block stands between two blocks of a yardstick, one of the artifacts, and
counts for what it takes in yardsticks; that scatters by less than a hundredth.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_runtime.errors import EngineError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import TensorSpec

_JOB_FILE, _RESULT_FILE = "timing.json", "times.json"
_TIMEOUT_S = 900
_LOG_LINES = 12
_MIN_ROUNDS = 7
_WARMUP_CALLS = 5
_BLOCK_MS, _YARDSTICK_MS = 1.0, 0.25
_LEAST_CALLS = 8
_QUIET = 0.25
"""Quantile of calls, and of the yardstick's blocks, that stands for a machine that is let alone."""

BUDGET_S = 12.0
"""How long is measured, all artifacts together; loading and warming up come on top."""


def time_artifacts(
    paths: Mapping[str, Path], folder: Path, *, threads: int, seed: int = 0, budget_s: float = BUDGET_S
) -> dict[str, float]:
    """Return the latency of each artifact in milliseconds: the median over the rounds.

    Args:
        paths: the files, of one format, by name; each has one static shape per input.
        folder: an existing folder for the question and the answer.
        threads: most threads used.
        seed: of the inputs and of the order of runs.
        budget_s: how long is measured.

    Raises:
        EngineError: the child failed, crashed or hung; the end of its log is in the message.
    """
    job = {
        "paths": {name: str(path.resolve()) for name, path in paths.items()},
        "threads": threads,
        "seed": seed,
        "budget_s": budget_s,
    }
    (folder / _JOB_FILE).write_text(json.dumps(job))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "edgeai_converters.prune.layer_timing", str(folder)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"Timing {len(paths)} layers was stopped after {_TIMEOUT_S} s.",
            hint="Give a smaller budget of time, or prune without a table of timings.",
        ) from error
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-_LOG_LINES:])
        how = "crashed" if done.returncode < 0 else "failed"
        raise EngineError(f"The engine {how} while layers were timed (exit code {done.returncode}).\n{tail}")
    found: dict[str, float] = json.loads((folder / _RESULT_FILE).read_text())
    return found


def settle(blocks: NDArray[Any], yardsticks: NDArray[Any]) -> NDArray[np.float64]:
    """Return one time per artifact, the median of the rounds, from times of blocks by round.

    Args:
        blocks: `[artifacts, rounds]`: what a call of each block takes.
        yardsticks: `[artifacts, rounds, 2]`: the yardstick's, before and after it.
    """
    unit = np.quantile(yardsticks, _QUIET)
    beside = np.sqrt(yardsticks[..., 0] * yardsticks[..., 1])
    return np.asarray(np.median(blocks / beside, axis=1) * unit, np.float64)


def time_calls(calls: Sequence[Callable[[], object]], *, budget_s: float, seed: int = 0) -> NDArray[np.float64]:
    """Return the latency of each call in milliseconds, `[calls]`, measured in turns.

    Args:
        calls: what to time.
        budget_s: how long is measured; at least 7 rounds.
        seed: of the order of blocks.
    """
    typical = [_block(call, _WARMUP_CALLS) for call in calls]
    yardstick = int(np.argsort(typical)[len(typical) // 2])
    lengths = [_calls_in(_BLOCK_MS, ms) for ms in typical]
    length = _calls_in(_YARDSTICK_MS, typical[yardstick])
    order = np.random.default_rng(seed)
    blocks: list[NDArray[np.float64]] = []
    yardsticks: list[NDArray[np.float64]] = []
    end = time.perf_counter() + budget_s
    while len(blocks) < _MIN_ROUNDS or time.perf_counter() < end:
        times, beside = np.empty(len(calls)), np.empty((len(calls), 2))
        before = _block(calls[yardstick], length)
        for place in order.permutation(len(calls)):
            times[place] = _block(calls[place], lengths[place])
            after = _block(calls[yardstick], length)
            beside[place] = before, after
            before = after
        blocks.append(times)
        yardsticks.append(beside)
    return settle(np.stack(blocks, axis=1), np.stack(yardsticks, axis=1))


def main(folder: Path) -> None:
    """Answer the question in `folder`."""
    job = json.loads((folder / _JOB_FILE).read_text())
    calls = {name: _call(Path(path), job["threads"], job["seed"]) for name, path in job["paths"].items()}
    times = time_calls(list(calls.values()), budget_s=job["budget_s"], seed=job["seed"])
    (folder / _RESULT_FILE).write_text(json.dumps(dict(zip(calls, times.tolist(), strict=True))))


def _calls_in(block_ms: float, call_ms: float) -> int:
    return max(_LEAST_CALLS, int(block_ms / max(call_ms, 1e-4)))


def _block(call: Callable[[], object], length: int) -> float:
    """Return what some calls take in milliseconds; one before them finds the caches cold and does not count.

    The lower quartile: a call of a whole network is often held up where other processes wait for the processor.
    """
    clock = time.perf_counter_ns
    call()
    times = np.empty(length)
    for index in range(length):
        start = clock()
        call()
        times[index] = clock() - start
    return float(np.quantile(times, _QUIET)) * 1e-6


def _call(path: Path, threads: int, seed: int) -> Callable[[], object]:
    model = load(path, isolate=False, threads=threads)
    random = np.random.default_rng(seed)
    arrays = [_draw(random, spec) for spec in model.inputs]
    return lambda: model.run_raw(arrays)


def _draw(random: np.random.Generator, spec: TensorSpec) -> NDArray[Any]:
    """Return an input; wide integers are 0, for they may be indices of a table."""
    shape, dtype = tuple(size or 1 for size in spec.shape), np.dtype(spec.dtype)
    if dtype.kind in "iu" and dtype.itemsize == 1:
        return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
    return random.normal(size=shape).astype(dtype) if dtype.kind == "f" else np.zeros(shape, dtype)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
