"""Make the artifact of a recipe: its steps, run on the float graph. The only place that knows what a step does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.plan_summary import summarize_plan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.quantized_source import unsign_activations
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.repairs import GRAPH_REPAIRS, SAMPLES, WEIGHT_REPAIRS
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.manifest import Quantization, TensorSpec

_ARTIFACT_FILE = "artifact.json"
_STEPS = ("carry_over", "store_float16", "store_int8_weights", "train_quantized", "quantize", "emit")


class NoEffectError(EdgeAIError):
    """A recipe that leaves the graph as it is."""


def run_steps(recipe: Recipe, graph: FloatGraph, calibration: Calibration | None) -> tuple[ir.Model, tuple[str, ...]]:
    """Return the graph after the steps of a recipe, and what to tell of them; the graph given is not changed.

    Raises:
        NoEffectError: a step that stores values changes nothing in this graph.
        UsageError: an unknown step, or one that needs calibration data when there are none.
    """
    model = graph.model
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    for step in recipe.steps:
        if step.op in GRAPH_REPAIRS:
            repairs = (*repairs, step.op)
            model = _given(calibration).model(repairs)
        elif step.op == "carry_over":
            if graph.carried is None:
                raise UsageError("The source is not quantized: there are no integers to carry over.")
            model = graph.carried if recipe.format == "tflite" else unsign_activations(graph.carried)[0]
            notes = (*notes, "the integers of the source, carried over")
        elif step.op == "store_float16":
            model = _changed(store_float16(model), "no weight of this graph would be stored as float16")
        elif step.op == "store_int8_weights":
            stored = store_int8_weights(model, format=recipe.format)
            model = _changed(stored, "no weight is large enough to store as int8")
        elif step.op == "train_quantized":
            quantizing = next((one.params for one in recipe.steps if one.op == "quantize"), {})
            model = train(model, _given(calibration), repairs, step.params, quantizing)
        elif step.op == "quantize":
            ranges = _given(calibration).ranges(repairs)
            notes = (*notes, *summarize_plan(model, plan_of(model, ranges, step.params)))
            model = quantize(model, _given(calibration), repairs, step.params)
        elif step.op != "emit":
            known = ", ".join([*GRAPH_REPAIRS, *_STEPS])
            raise UsageError(f"Unknown step in a recipe: {step.op!r}.", hint=f"There are {known}.")
    return model, notes


def quantize(
    model: ir.Model, calibration: Calibration, repairs: tuple[str, ...], params: Mapping[str, Any]
) -> ir.Model:
    """Return the repaired graph with Quantize/Dequantize nodes.

    Args:
        model: the float graph after `repairs`.
        calibration: samples and ranges.
        repairs: repairs of the graph that were made.
        params: `scheme`, `method`; perhaps `methods` (range methods of single values), `excluded` (nodes kept in float,
            with the reason), `wide` (nodes with 16-bit activations) and `weights` (repairs of the weights).
    """
    ranges = calibration.ranges(repairs)
    plan = plan_of(model, ranges, params)
    weight_repairs = [name for name in WEIGHT_REPAIRS if name in params.get("weights", ())]
    for name in params.get("weights", ()):
        if name not in WEIGHT_REPAIRS:
            raise UsageError(f"Unknown repair of weights: {name!r}.", hint=f"There are {', '.join(WEIGHT_REPAIRS)}.")
    for name in weight_repairs:
        model, _ = WEIGHT_REPAIRS[name](model, plan, ranges, calibration.batches(SAMPLES.get(name)))
    return _changed(insert_qdq(model, plan), "no operation of this graph is computed in int8 in this format")


def train(
    model: ir.Model,
    calibration: Calibration,
    repairs: tuple[str, ...],
    params: Mapping[str, Any],
    quantizing: Mapping[str, Any],
) -> ir.Model:
    """Return the graph with weights trained for the rounding that the `quantize` step will bring.

    Args:
        model: the float graph after `repairs`.
        calibration: samples and ranges, training data among them.
        repairs: repairs of the graph that were made.
        params: fields of `TrainingSpec`.
        quantizing: parameters of the `quantize` step.

    Raises:
        UsageError: no data to train on.
    """
    from edgeai_converters.train.quantization_aware import train_quantized

    if calibration.training is None:
        raise UsageError("Quantization-aware training needs data to train on.", hint="Give some with --train-data.")
    key = [calibration.digest(repairs), calibration.training_digest, dict(params), dict(quantizing)]
    trained, _ = train_quantized(
        model,
        plan_of(model, calibration.ranges(repairs), quantizing),
        TrainingSpec(**params),
        calibration.training,
        search=calibration.search,
        folder=calibration.work.root / f"training-{digest_of(key)[:20]}",
        on_step=lambda done, total, label: calibration.tell(label),
    )
    return trained


def plan_of(model: ir.Model, ranges: Ranges, params: Mapping[str, Any]) -> QuantizationPlan:
    """Return the plan that the parameters of a `quantize` step make.

    Raises:
        UsageError: a scheme or range method that does not exist.
    """
    scheme, method = params.get("scheme"), params.get("method")
    if scheme not in SCHEMES or method not in ranges.tensors:
        raise UsageError(
            f"A quantize step needs a scheme and a range method. Received: {scheme!r}, {method!r}.",
            hint=f"There are {', '.join(SCHEMES)}, and {', '.join(ranges.tensors)}.",
        )
    found = dict(ranges.tensors[method])
    for name, other in params.get("methods", {}).items():
        found[name] = ranges.tensors[other][name]
    return plan_quantization(
        model, found, SCHEMES[scheme], excluded=params.get("excluded"), wide=params.get("wide", ())
    )


def _given(calibration: Calibration | None) -> Calibration:
    if calibration is None:
        raise UsageError("Static int8 needs calibration data.", hint="Give some with --data.")
    return calibration


def _changed(result: tuple[ir.Model, bool], otherwise: str) -> ir.Model:
    model, changed = result
    if not changed:
        raise NoEffectError(f"{otherwise}: the artifact would be float32's")
    return model


def make_artifact(recipe: Recipe, graph: FloatGraph, calibration: Calibration | None, folder: Path) -> None:
    """Write the recipe's artifact and a note of it into `folder`; `read_artifact` reads it back."""
    model, notes = run_steps(recipe, graph, calibration)
    artifact = emit(model, recipe.format, folder)
    artifact = replace(artifact, notes=(*notes, *artifact.notes))
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
