"""What the measuring child is asked and what it answers: JSON files in a folder of their own.

The child opens an artifact in its real engine. It is a process of its own so that a crash of the engine takes nothing
else down, and so that the peak memory found is that of one artifact alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeai_runtime.manifest import Format, Quantization, Step, TensorSpec

JOB_FILE = "job.json"
RESULT_FILE = "result.json"
OUTPUTS_FILE = "outputs.npz"

_TENSORS = ("inputs", "outputs", "own_inputs", "own_outputs")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Run one artifact over samples; time it against a reference.

    Attributes:
        artifact: the file to open.
        reference: the float artifact of the same format to interleave with; `None` measures the artifact alone.
        format: the format of both.
        inputs: the graph's inputs, in order.
        outputs: the graph's outputs, in order; what is scored.
        own_inputs: the artifact's own inputs, in the order of `inputs`: integers where it takes integers.
        own_outputs: the artifact's own outputs, in the order of `outputs`.
        data: text that names the data set.
        preprocessing: steps per input name.
        indices: samples to run, in order.
        threads: most threads used.
        duration_s: how long to time; 0 leaves timing out.
        seed: seed of drawn inputs and of the order of runs.
    """

    artifact: str
    reference: str | None
    format: Format
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    own_inputs: tuple[TensorSpec, ...]
    own_outputs: tuple[TensorSpec, ...]
    data: str
    preprocessing: Mapping[str, tuple[Step, ...]]
    indices: tuple[int, ...]
    threads: int
    duration_s: float
    seed: int

    def write(self, folder: Path) -> None:
        """Write the job into `folder`."""
        (folder / JOB_FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Read the job in `folder`."""
        document: dict[str, Any] = json.loads((folder / JOB_FILE).read_text())
        return cls(
            **{
                **document,
                **{name: tuple(map(_spec, document[name])) for name in _TENSORS},
                "preprocessing": {
                    name: tuple(Step(**step) for step in steps) for name, steps in document["preprocessing"].items()
                },
                "indices": tuple(document["indices"]),
            }
        )


def _spec(note: Mapping[str, Any]) -> TensorSpec:
    quantization = note["quantization"]
    return TensorSpec(
        **{
            **note,
            "shape": tuple(note["shape"]),
            "quantization": Quantization(**quantization) if quantization else None,
        }
    )
