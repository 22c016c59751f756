"""The child process that measures one artifact: `python -m edgeai_converters.evaluate.measure_child FOLDER`.

Order matters: memory first (nothing else has run yet), then the outputs over the samples, then latency, interleaved
with the reference. Reads `job.json` in the folder, writes `outputs.npz` and `result.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_converters.evaluate.job import OUTPUTS_FILE, RESULT_FILE, Job
from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.bench.memory import peak_resident_mib, reset_peak, resident_mib
from edgeai_runtime.bench.statistics import compare, summarize
from edgeai_runtime.bundle_arrays import npz_bytes
from edgeai_runtime.engines.boundary import input_adapter, output_adapter
from edgeai_runtime.engines.table import engine_for
from edgeai_runtime.loading import load
from edgeai_runtime.model import Model


def main(folder: Path) -> None:
    """Measure what `folder/job.json` asks for."""
    job = Job.read(folder)
    engine = engine_for(job.format)
    info = engine.info()
    samples = _samples(job)
    first = next(samples)
    before_mib = resident_mib()
    reset_peak()
    model = load(Path(job.artifact), isolate=False, threads=job.threads)
    boundary = _Boundary(job)
    outputs = [boundary.real(model.run_raw(boundary.own(first)))]
    peak_mib = peak_resident_mib()
    outputs += [boundary.real(model.run_raw(boundary.own(arrays))) for arrays in samples]
    stacked = {spec.name: np.concatenate([one[i] for one in outputs]) for i, spec in enumerate(job.outputs)}
    (folder / OUTPUTS_FILE).write_bytes(npz_bytes(stacked))
    result: dict[str, Any] = {
        "engine": engine.name,
        "engine_version": info.version,
        "delegate": model.placement.delegate,
        "placement": dict(model.placement.shares()),
        "threads": job.threads,
        "peak_memory_mib": peak_mib - before_mib if peak_mib is not None and before_mib is not None else None,
        "machine": describe_machine(),
    }
    if job.duration_s > 0:
        result |= _time(job, model, first, boundary)
    (folder / RESULT_FILE).write_text(json.dumps(result))


class _Boundary:
    """Between the graph's tensors and the artifact's own; an app that hands in integers does not pay for it."""

    def __init__(self, job: Job) -> None:
        self._before = [input_adapter(a, b) for a, b in zip(job.inputs, job.own_inputs, strict=True)]
        self._after = [output_adapter(a, b) for a, b in zip(job.own_outputs, job.outputs, strict=True)]

    def own(self, arrays: list[Any]) -> list[Any]:
        return [adapt(array) if adapt else array for adapt, array in zip(self._before, arrays, strict=True)]

    def real(self, arrays: list[Any]) -> list[Any]:
        return [adapt(array) if adapt else array for adapt, array in zip(self._after, arrays, strict=True)]


def _time(job: Job, model: Model, arrays: list[Any], boundary: _Boundary) -> dict[str, Any]:
    own = boundary.own(arrays)
    calls = {"artifact": lambda: model.run_raw(own)}
    if job.reference:
        reference = load(Path(job.reference), isolate=False, threads=job.threads)
        calls["reference"] = lambda: reference.run_raw(arrays)
    samples = interleave(calls, duration_s=job.duration_s, seed=job.seed)
    summary = summarize(samples["artifact"])
    speedup, interval = 1.0, (1.0, 1.0)
    if job.reference:
        ratio = compare(samples["reference"], samples["artifact"])
        speedup, interval = ratio.ratio, ratio.ci95
    return {
        "latency_median_ms": summary.median_ms,
        "latency_p90_ms": summary.p90_ms,
        "latency_median_ci95_ms": list(summary.median_ci95_ms),
        "speedup_vs_float": speedup,
        "speedup_ci95": list(interval),
    }


def _samples(job: Job) -> Iterator[list[Any]]:
    dataset = open_dataset(job.data, inputs=job.inputs, preprocessing=job.preprocessing)
    for batch in dataset.batches(np.asarray(job.indices), 1):
        yield [batch[spec.name] for spec in job.inputs]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
