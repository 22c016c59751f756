"""The child process that profiles one artifact: `python -m edgeai.profiling.profile_child FOLDER`.

Reads `job.json` and `inputs.npz` in the folder and writes `profile.json`: an `OperatorProfile`, or an error.
Blocks of calls without and with profiling take turns, so that what else the machine does falls on both alike.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeai.benchmarking.result import OperatorProfile, OperatorTime
from edgeai.profiling.recorder import Operation, Recorder, open_recorder
from edgeai_converters.graph.boundary import draw_inputs
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.bundle_arrays import read_npz
from edgeai_runtime.engines.boundary import connect
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.placement import PlacementReport

JOB_FILE, INPUTS_FILE, RESULT_FILE = "job.json", "inputs.npz", "profile.json"
_WARMUP_S, _BLOCK_MS = 0.1, 10.0
_MOST_CALLS_PER_BLOCK, _LEAST_ROUNDS, _LEAST_CALLS = 200, 3, 20
_DISTURBED = 1.5
"""A call that took so many medians was interrupted by something else, and is left out."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Milliseconds of the calls: of those profiled each, with the numbers of those that count; medians per round."""

    profiled_ms: list[float]
    counted: list[int]
    rounds_plain_ms: list[float]
    rounds_profiled_ms: list[float]


def main(folder: Path) -> None:
    """Profile what `folder/job.json` asks for."""
    job: dict[str, Any] = json.loads((folder / JOB_FILE).read_text())
    try:
        document = {"profile": asdict(profile(job, folder))}
    except EdgeAIError as error:
        document = {"error": error.to_json()}
    (folder / RESULT_FILE).write_text(json.dumps(document))


def profile(job: Mapping[str, Any], folder: Path) -> OperatorProfile:
    """Open the artifact twice, time both in turns, and put together what the recorder found."""
    path, options = Path(job["path"]), dict(job["options"])
    settings: dict[str, Any] = {"delegate": job["delegate"], "threads": job["threads"], "options": options}
    session = get_engine(job["engine"]).open(path, **settings)
    arrays = _arrays(session, job, folder)
    session.run(arrays)
    recorder = open_recorder(job["recorder"], path, session, arrays, **settings)
    timed = take_turns(lambda: session.run(arrays), recorder, duration_s=job["duration_s"])
    return make_profile(recorder, timed, undisturbed(timed), session.placement())


def _arrays(session: Session, job: Mapping[str, Any], folder: Path) -> list[Any]:
    """Return one array per input of the artifact: those given, as the runtime hands them on, else drawn."""
    if not (folder / INPUTS_FILE).is_file():
        fixed = [spec.shape[0] if spec.shape else None for spec in session.inputs]
        drawn = [
            draw_inputs([spec], n=batch or 1, seed=number)
            for number, (spec, batch) in enumerate(zip(session.inputs, fixed, strict=True))
        ]
        return [array for one in drawn for array in one.values()]
    stored = read_npz(folder / INPUTS_FILE, where="inputs of the profile")
    given = [stored[str(index)] for index in range(len(stored))]
    if job["bundle"] is None:
        return given
    manifest = open_bundle(Path(job["bundle"])).manifest
    variant = next(one for one in manifest.variants if one.id == job["variant"])
    taken = _Taken(session)
    connect(taken, variant, manifest.inputs, manifest.outputs)(given)
    return taken.arrays


class _Taken:
    """A session that remembers what it was given: what the runtime makes of a bundle's arrays for an artifact."""

    def __init__(self, session: Session) -> None:
        self.inputs, self.outputs = session.inputs, session.outputs
        self.placement, self.close = session.placement, session.close
        self._session = session
        self.arrays: list[Any] = []

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        self.arrays = [np.ascontiguousarray(array) for array in arrays]
        return self._session.run(arrays)


def take_turns(plain: Callable[[], object], recorder: Recorder, *, duration_s: float) -> Timed:
    """Time blocks of plain and of profiled calls in turns; the first call of a longer block does not count.

    On a busy machine, or for a slow model, it goes on up to twice as long, for enough calls to take means of.
    """
    plain_length, length = _block_length(plain), _block_length(recorder.call)
    timed = Timed(profiled_ms=[], counted=[], rounds_plain_ms=[], rounds_profiled_ms=[])
    recorder.begin()
    start = time.perf_counter()
    while True:
        calls = [_time(plain) for _ in range(plain_length)]
        timed.rounds_plain_ms.append(float(np.median(calls[1:] or calls)))
        begin = len(timed.profiled_ms)
        for _ in range(length):
            timed.profiled_ms.append(_time(recorder.call))
            recorder.keep()
        first = begin + (length > 1)
        timed.counted.extend(range(first, begin + length))
        timed.rounds_profiled_ms.append(float(np.median(timed.profiled_ms[first:])))
        passed = time.perf_counter() - start
        enough = len(timed.counted) >= _LEAST_CALLS or passed >= 2 * duration_s
        full = len(timed.profiled_ms) + length > recorder.most_calls
        if len(timed.rounds_plain_ms) >= _LEAST_ROUNDS and (full or (enough and passed >= duration_s)):
            return timed


def undisturbed(timed: Timed) -> list[int]:
    """Return the numbers of the calls that count and were not interrupted by something else."""
    limit = _DISTURBED * float(np.median([timed.profiled_ms[number] for number in timed.counted]))
    return [number for number in timed.counted if timed.profiled_ms[number] <= limit]


def make_profile(recorder: Recorder, timed: Timed, kept: Sequence[int], placement: PlacementReport) -> OperatorProfile:
    """Put the operations together with the whole, and with the devices where the placement has the same names."""
    operations = recorder.finish(kept)
    recorder.close()
    total = sum(one.ms for one in operations)
    ratios = np.divide(timed.rounds_profiled_ms, timed.rounds_plain_ms)
    return OperatorProfile(
        method=recorder.method,
        calls=len(kept),
        whole_ms=float(np.mean([timed.profiled_ms[number] for number in kept])),
        sum_ms=total,
        overhead=float(np.median(ratios)) if recorder.method == "engine" else None,
        operators=tuple(_timed_operators(operations, total, placement)),
        note=recorder.note,
    )


def _timed_operators(operations: Sequence[Operation], total: float, placement: PlacementReport) -> list[OperatorTime]:
    places = {one.name: one for one in placement.operations}
    everywhere = {one.device for one in placement.operations}
    only = everywhere.pop() if len(everywhere) == 1 else "unknown"
    found, now = [], 0.0
    for one in operations:
        place = places.get(one.name)
        start = one.start_ms if one.start_ms is not None else now
        now = start + one.ms
        found.append(
            OperatorTime(
                name=one.name,
                op=one.op,
                device=one.device or (place.device if place is not None else only),
                ms=one.ms,
                share=one.ms / total if total else 0.0,
                start_ms=start,
                kernel=one.kernel or (place.kernel if place is not None else ""),
            )
        )
    return found


def _block_length(call: Callable[[], object]) -> int:
    """Warm a call up, and return how many make a block."""
    end, taken = time.perf_counter() + _WARMUP_S, [_time(call)]
    while time.perf_counter() < end:
        taken.append(_time(call))
    return int(min(max(_BLOCK_MS / max(float(np.median(taken)), 1e-6), 1), _MOST_CALLS_PER_BLOCK))


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main(Path(sys.argv[1]))
