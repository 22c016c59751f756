"""Time artifacts side by side: `python -m quantization.race JOB.json SECONDS OUT.npz ARTIFACT[#VARIANT]…`.

All are loaded in this process, one thread each, and called in turns with the same sample (`interleave`), so that what
else the machine does falls on all alike. What has an integer boundary gets integers: its time is without quantizing
them. Written are the median of every round, `round_ms_0` `[rounds]`, …, in the
order of the command line, and the median of all calls, `median_ms` `[artifacts]`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeai_runtime import load
from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.bench.statistics import summarize
from quantization.job import read_job
from quantization.score import input_for


def race(artifacts: Sequence[str], sample: np.ndarray, *, duration_s: float, out: Path) -> None:
    """Load the artifacts, time them, write what was measured."""
    with contextlib.ExitStack() as stack:
        calls = {}
        for place, artifact in enumerate(artifacts):
            path, _, variant = artifact.partition("#")
            model = stack.enter_context(load(path, threads=1, variant=variant or None, isolate=False))
            calls[str(place)] = functools.partial(model.run_raw, [input_for(model, sample)])
        samples = interleave(calls, duration_s=duration_s * len(calls))
    rounds = {f"round_ms_{place}": each.round_ms for place, each in samples.items()}
    medians = [summarize(samples[str(place)]).median_ms for place in range(len(artifacts))]
    np.savez(out, median_ms=np.array(medians), **rounds)


if __name__ == "__main__":
    x, _ = read_job(Path(sys.argv[1])).samples("certification")
    race(sys.argv[4:], np.ascontiguousarray(x[:1]), duration_s=float(sys.argv[2]), out=Path(sys.argv[3]))
