"""Run one artifact over a split: `python -m quantization.score JOB.json SPLIT OUT.npz ARTIFACT[#VARIANT]`.

In a process of its own, since a bad artifact may crash its engine; sample by sample, which every artifact can.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from quantization.job import read_job


def score(artifact: str, samples: np.ndarray, out: Path) -> None:
    """Write the outputs of the artifact, in order: `out_0` `[n, …]`, …"""
    from edgeai.benchmarking.outputs import real_values
    from edgeai_runtime import load

    path, _, variant = artifact.partition("#")
    with load(path, threads=1, variant=variant or None, isolate=False) as model:
        singles = (samples[index : index + 1] for index in range(len(samples)))
        rows = [
            [np.array(each) for each in real_values(model.outputs, model.run_raw([input_for(model, single)]))]
            for single in singles
        ]
        names = [spec.name for spec in model.outputs]
    outputs = {f"out_{place}": np.concatenate(parts) for place, parts in enumerate(zip(*rows, strict=True))}
    arrays: dict[str, Any] = {"names": np.array(names), **outputs}
    np.savez(out, **arrays)


def input_for(model: Any, sample: np.ndarray) -> np.ndarray:
    """Return a float32 sample as the model takes it: quantized, when its boundary is integer.

    Raises:
        ValueError: the model takes neither floats nor integers with a scale.
    """
    from edgeai.benchmarking.outputs import fit_arrays
    from edgeai_runtime.manifest import TensorSpec

    (spec,) = model.inputs
    plain = TensorSpec(name=spec.name, dtype="float32", shape=sample.shape, layout=spec.layout)
    fitted = fit_arrays([plain], [sample], [spec])
    if fitted is None:
        raise ValueError(f"the artifact takes {spec.dtype} {spec.shape}, the samples are float32 {sample.shape}")
    ready: np.ndarray = np.ascontiguousarray(fitted[0])
    return ready


if __name__ == "__main__":
    x, _ = read_job(Path(sys.argv[1])).samples(sys.argv[2])
    score(sys.argv[4], x, Path(sys.argv[3]))
