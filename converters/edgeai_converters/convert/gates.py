"""The gate of conversions: an artifact is run in its own engine and held against its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.graph.parity import Parity, require_parity
from edgeai_runtime.errors import ModelError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Format, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an artifact of one precision may be from its source on the probe inputs: a check for gross faults.

    Attributes:
        max_rel: largest `Parity.max_rel`.
        min_cosine: smallest `Parity.cosine`.
        reason: why so much and no more.
        max_steps: of integers that are carried over, the largest difference in steps of an output.
    """

    max_rel: float
    min_cosine: float
    reason: str
    max_steps: int | None = None


TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(
        max_rel=1e-3,
        min_cosine=0.9999,
        reason="engines add float32 numbers in other orders, which stays below 1e-4 of an output's range; "
        "a wrong padding or layout is above 1e-2",
    ),
    "float16": Tolerance(
        max_rel=5e-2,
        min_cosine=0.999,
        reason="weights keep 11 significant bits (5e-4 each), which deep networks amplify",
    ),
    "dynamic_int8": Tolerance(
        max_rel=0.5,
        min_cosine=0.95,
        reason="weights keep 8 bits and some engines round activations too: only gross faults show here; "
        "the certificate of compress covers the rest",
    ),
}
"""Precision that needs no data → what it may change. Calibrated int8 is judged by the certificate."""

CARRIED: dict[Format, Tolerance] = {
    "tflite": Tolerance(
        max_rel=0.3,
        min_cosine=0.98,
        max_steps=16,
        reason="kernels round in other places, at most 2 steps in measured networks; a wrong scale or layout is beyond",
    ),
    "onnx": Tolerance(
        max_rel=0.3,
        min_cosine=0.98,
        max_steps=16,
        reason="kernels round in other places, at most 2 steps in measured networks; a wrong scale or layout is beyond",
    ),
    "openvino": Tolerance(
        max_rel=0.3,
        min_cosine=0.98,
        max_steps=64,
        reason="OpenVINO keeps sums and pools between layers in float, which a softmax amplifies: 37 steps measured "
        "for a ResNet8, at most 6 for others",
    ),
}
"""Format → what integers that are carried over may change; its narrow part is counted in steps of each output."""

SIMPLIFY_TOLERANCE = Tolerance(
    max_rel=1e-4, min_cosine=0.99999, reason="simplifying may only change the rounding, nothing else"
)


def tolerance_of(precision: Precision, format: Format) -> Tolerance:
    """Return what a conversion to a precision may change; int8 is carried over."""
    return CARRIED[format] if precision == "int8" else TOLERANCES[precision]


def run_artifact(artifact: Artifact, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run an artifact in its own engine and return its outputs by name.

    Inputs and outputs are matched by name, or by position where the file has other names.

    Args:
        artifact: the files; opened in a child process first, since a bad file may crash its engine.
        inputs: `[n, …]` by the names in `artifact.inputs`.

    Raises:
        ModelError: the engine does not load or run it.
    """
    with load(artifact.path, threads=1) as loaded:
        order = [spec.name for spec in artifact.inputs]
        if {spec.name for spec in loaded.inputs} == set(order):
            order = [spec.name for spec in loaded.inputs]
        if len(loaded.inputs) != len(order) or len(loaded.outputs) != len(artifact.outputs):
            raise ModelError(
                f"{artifact.path.name} has {len(loaded.inputs)} inputs and {len(loaded.outputs)} outputs. "
                f"The source has {len(order)} and {len(artifact.outputs)}."
            )
        results = loaded.run_raw([inputs[name] for name in order])
        names = [spec.name for spec in artifact.outputs]
        if {spec.name for spec in loaded.outputs} == set(names):
            names = [spec.name for spec in loaded.outputs]
    return dict(zip(names, (np.asarray(result) for result in results), strict=True))


def check_artifact(
    artifact: Artifact,
    inputs: Mapping[str, NDArray[Any]],
    reference: Mapping[str, NDArray[Any]],
    *,
    precision: Precision,
    what: str,
) -> Parity:
    """Run an artifact in its own engine on the probe inputs and hold it against the source's outputs.

    Raises:
        ParityError: they differ by more than the precision explains.
        ModelError: the engine does not load or run it.
    """
    tolerance = TOLERANCES[precision]
    outputs = run_artifact(artifact, inputs)
    return require_parity(reference, outputs, what=what, max_rel=tolerance.max_rel, min_cosine=tolerance.min_cosine)
