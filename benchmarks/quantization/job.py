"""What every method is given: the float model in each form, and the calibration and search samples.

It is a file, so that a method can run under another interpreter; nothing here needs more than numpy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Job:
    """One model to quantize.

    Attributes:
        source: the model as its author saved it.
        onnx, tflite: the float model in these formats (the source itself where it is one).
        keras: the source when it is a Keras file, else empty.
        input_name: the name of the only input, in ONNX.
        calibration, search, certification: `.npz` files with `x` (float32, ready for the input) and `y`.
        metric: as `edgeai compress --metric` takes it.
        transformer: whether it is one; NNCF wants to be told.
        max_drop: the budget of methods that take one.
    """

    source: str
    onnx: str
    tflite: str
    keras: str
    input_name: str
    calibration: str
    search: str
    certification: str
    metric: str
    transformer: bool = False
    max_drop: float = 0.01

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    def samples(self, split: str) -> tuple[Any, Any]:
        """Return `x` and `y` of `calibration`, `search` or `certification`."""
        with np.load(getattr(self, split)) as arrays:
            return arrays["x"], arrays["y"]

    def calibration_samples(self) -> Iterator[Any]:
        """Yield the calibration samples one by one, each with a batch axis of 1."""
        x, _ = self.samples("calibration")
        for index in range(len(x)):
            yield x[index : index + 1]


def read_job(path: Path) -> Job:
    """Read what `Job.write` wrote."""
    return Job(**json.loads(path.read_text(encoding="utf-8")))
