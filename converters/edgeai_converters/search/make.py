"""Make the artifact of a recipe: its steps, run on the float graph. The only place that knows what a step does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.search.candidate import Recipe
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.manifest import Quantization, Step, TensorSpec

_ARTIFACT_FILE = "artifact.json"


class NoEffectError(EdgeAIError):
    """A recipe that leaves the graph as it is."""


def apply_step(model: ir.Model, step: Step, recipe: Recipe, ranges: Ranges | None) -> ir.Model:
    """Return the graph after one step; the graph given is not changed.

    Raises:
        NoEffectError: the step changes nothing in this graph.
        UsageError: an unknown step, or one that needs ranges when there are none.
    """
    if step.op == "store_float16":
        return _changed(store_float16(model), "no weight of this graph would be stored as float16")
    if step.op == "store_int8_weights":
        return _changed(store_int8_weights(model, format=recipe.format), "no weight is large enough to store as int8")
    if step.op == "quantize":
        if ranges is None:
            raise UsageError("Static int8 needs calibration data.", hint="Give some with --data.")
        found = ranges.tensors[step.params["method"]]
        excluded = step.params.get("excluded")
        plan = plan_quantization(model, found, SCHEMES[step.params["scheme"]], excluded=excluded)
        return _changed(insert_qdq(model, plan), "no operation of this graph is computed in int8 in this format")
    raise UsageError(f"Unknown step in a recipe. Received: {step.op!r}")


def _changed(result: tuple[ir.Model, bool], otherwise: str) -> ir.Model:
    model, changed = result
    if not changed:
        raise NoEffectError(f"{otherwise}: the artifact would be float32's")
    return model


def make_artifact(recipe: Recipe, model: ir.Model, ranges: Ranges | None, folder: Path) -> None:
    """Write the recipe's artifact and a note of it into `folder`; `read_artifact` reads it back."""
    for step in recipe.steps:
        if step.op != "emit":
            model = apply_step(model, step, recipe, ranges)
    artifact = emit(model, recipe.format, folder)
    note = asdict(artifact) | {"files": [file.name for file in artifact.files]}
    (folder / _ARTIFACT_FILE).write_text(json.dumps(note, indent=1))


def read_artifact(folder: Path) -> Artifact:
    """Return the artifact that `make_artifact` wrote into `folder`."""
    note = json.loads((folder / _ARTIFACT_FILE).read_text())
    return Artifact(
        format=note["format"],
        files=tuple(folder / name for name in note["files"]),
        inputs=tuple(_spec(spec) for spec in note["inputs"]),
        outputs=tuple(_spec(spec) for spec in note["outputs"]),
        operators=note["operators"],
        notes=tuple(note["notes"]),
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
