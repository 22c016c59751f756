"""Time artifacts side by side: `python -m slimming.race SECONDS OUT.json ARTIFACT…`, in a process of its own.

All are loaded at once, one thread each, batch 1, and called in turns with drawn inputs, so that what else the machine
does falls on all alike. Written are the median of each and the ratio of the last to the one before it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_runtime import load
from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.bench.statistics import compare, summarize
from edgeai_runtime.manifest import TensorSpec

_SMALLEST_WORD = 8
"""Integers are drawn below this: every table of words has as many."""


def race(artifacts: Sequence[str], *, duration_s: float) -> dict[str, Any]:
    """Load the artifacts and time them; the last two are compared."""
    with contextlib.ExitStack() as stack:
        calls = {}
        for place, artifact in enumerate(artifacts):
            model = stack.enter_context(load(artifact, threads=1, isolate=False))
            calls[str(place)] = functools.partial(model.run_raw, [draw(spec) for spec in model.inputs])
        samples = interleave(calls, duration_s=duration_s * len(calls))
    medians = [summarize(samples[str(place)]).median_ms for place in range(len(artifacts))]
    found = compare(samples[str(len(artifacts) - 1)], samples[str(len(artifacts) - 2)])
    return {"median_ms": medians, "ratio": found.ratio, "ratio_ci95": list(found.ci95), "verdict": found.verdict}


def draw(spec: TensorSpec) -> NDArray[Any]:
    """Return one sample for an input: normal floats, small integers."""
    random = np.random.default_rng(0)
    shape = [size or 1 for size in spec.shape]
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return random.normal(size=shape).astype(dtype)
    return random.integers(0, _SMALLEST_WORD, shape).astype(dtype)


def race_in_child(artifacts: Sequence[Path], *, duration_s: float, out: Path) -> dict[str, Any]:
    """Run the race in a process of its own and return what it wrote to `out`."""
    paths = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "slimming.race", str(duration_s), str(out), *map(str, artifacts)]
    subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "PYTHONPATH": paths})
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    result = race(sys.argv[3:], duration_s=float(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1), encoding="utf-8")
