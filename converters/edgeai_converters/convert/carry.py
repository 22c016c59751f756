"""Carrying over: a source that is quantized already keeps its integers in another format, behind a gate of its own.

The answers of the source's own engine are the reference. How far the artifact is away is counted in steps: what one
integer more or less is at an output. Engines round sums, pools and functions in other places than each other, which
moves an inner value by a step; layers behind, and a softmax most, make several steps at the output of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_converters.convert.gates import CARRIED, Tolerance, run_artifact
from edgeai_converters.convert.report import Conversion
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.boundary import input_specs
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.graph.shapes import batch_shapes, fix_shapes
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.carry_over import carry_over_tflite
from edgeai_converters.quantize.quantized_source import carry_refusal, describe_quantization, unsign_activations
from edgeai_converters.quantize.stored_values import DEQUANTIZE, read_parameters
from edgeai_converters.routes import routes_for
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.table import import_source
from edgeai_converters.spec import ConvertSpec
from edgeai_runtime.errors import ParityError, UnsupportedOperationError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLES = 8
_LEVELS = 255
"""Steps that an output without a scale of its own is counted in, over the range of its answers."""


def carry(spec: ConvertSpec, folder: Path, stem: str) -> Conversion:
    """Write the integers of a quantized TFLite or ONNX file in another format.

    Args:
        spec: what is asked for, with the precision `int8`.
        folder: an existing folder for everything made on the way, and for the artifact.
        stem: name of the artifact without suffix.

    Raises:
        UsageError: the source is not quantized, or a layout is asked for.
        UnsupportedOperationError: the format cannot hold these integers; the message tells why.
        ParityError: the artifact is too many steps away from the source.
    """
    imported = _import(spec, folder)
    model, passes = _graph(spec, imported)
    what = describe_quantization(model)
    if what.form in ("float", "weights"):
        raise not_quantized(spec, "" if what.form == "float" else " in its activations")
    refusal = carry_refusal(model, spec.format)
    if refusal is not None:
        raise UnsupportedOperationError(
            f"The integers of {spec.source} cannot be carried over into {spec.format}: {refusal}.",
            hint="Without --precision int8 it is dequantized to float; edgeai compress quantizes it again.",
        )
    if spec.layout is not None:
        raise UsageError("--layout is for float graphs.", hint="Leave it out: integers are carried over as they lie.")
    steps = _output_steps(model, imported.probe_outputs)
    if spec.format != "tflite":
        model, _ = unsign_activations(model)
    route = routes_for(imported.kind, spec.format, precision="int8")[0].names
    artifact = emit(model, spec.format, folder, stem=stem)
    answers = run_artifact(artifact, imported.probe_inputs)
    tolerance = CARRIED[spec.format]
    told = " → ".join(route)
    parity = require_parity(
        imported.probe_outputs, answers, what=told, max_rel=tolerance.max_rel, min_cosine=tolerance.min_cosine
    )
    away = _require_steps(imported.probe_outputs, answers, steps, tolerance, what=told)
    return Conversion(
        artifact=artifact,
        route=route,
        parity=parity,
        tolerance=tolerance,
        passes=tuple(passes),
        notes=(f"carried over: {what}", *_boundary_notes(imported), *artifact.notes),
        integers="carried over",
        steps=away,
    )


def not_quantized(spec: ConvertSpec, where: str = "") -> UsageError:
    """Return the error for a source that has no integers to carry over."""
    return UsageError(
        f"The precision int8 needs calibration data: {spec.source} is not quantized{where}.",
        hint=f"Use: edgeai compress {spec.source} --data DATA --precision int8 --format {spec.format}",
    )


def _import(spec: ConvertSpec, folder: Path) -> Imported:
    """Read the source and run it in its own engine, with the batch and on the samples asked for."""
    place = folder / "source"
    place.mkdir()
    shapes = {name: tuple(shape) for name, shape in spec.input_shapes.items()}
    imported = import_source(spec.source, workdir=place, input_shapes=shapes, seed=spec.seed)
    samples: Mapping[str, NDArray[Any]] | None = None
    if spec.batch is not None:
        shapes |= batch_shapes(imported.model, spec.batch)
    if spec.samples is not None:
        dataset = open_dataset(spec.samples, inputs=input_specs(imported.model))
        count = min(len(dataset), _SAMPLES)
        samples = next(iter(dataset.batches(np.arange(count), count)))
    if spec.batch is None and samples is None:
        return imported
    return import_source(spec.source, workdir=place, input_shapes=shapes, samples=samples, seed=spec.seed)


def _graph(spec: ConvertSpec, imported: Imported) -> tuple[ir.Model, list[str]]:
    """Return the simplified graph with the source's integers."""
    if imported.kind != "tflite":
        return simplify(imported.model)
    shapes = {
        str(value.name): tuple(dim if isinstance(dim, int) else -1 for dim in value.shape or ())
        for value in imported.model.graph.inputs
    }
    return simplify(fix_shapes(carry_over_tflite(spec.source), shapes))


def _output_steps(model: ir.Model, reference: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return how much one integer is at each output."""
    found = {}
    for value in model.graph.outputs:
        name, node = str(value.name), value.producer()
        answers = np.asarray(reference[name])
        parameters = read_parameters(node) if node is not None and node.op_type in DEQUANTIZE else None
        if answers.dtype.kind in "iub":
            found[name] = 1.0
        elif parameters is not None:
            found[name] = parameters.scale[0]
        else:
            found[name] = float(np.ptp(answers)) / _LEVELS or 1.0
    return found


def _require_steps(
    reference: Mapping[str, NDArray[Any]],
    answers: Mapping[str, NDArray[Any]],
    steps: Mapping[str, float],
    tolerance: Tolerance,
    *,
    what: str,
) -> float:
    """Return the largest difference in steps.

    Raises:
        ParityError: it is larger than allowed.
    """
    away = {
        name: float(np.abs(np.subtract(reference[name], answers[name], dtype=np.float64)).max(initial=0)) / step
        for name, step in steps.items()
    }
    worst = max(away, key=away.__getitem__)
    assert tolerance.max_steps is not None
    if away[worst] > tolerance.max_steps + 0.5:
        raise ParityError(
            f"{what}: the output {worst!r} is {away[worst]:.0f} steps away from the source's; {tolerance.max_steps} "
            f"are allowed, because {tolerance.reason}.",
            hint="Without --precision int8 it is dequantized to float.",
        )
    return away[worst]


def _boundary_notes(imported: Imported) -> tuple[str, ...]:
    """Return what the import says of inputs and outputs; that it dequantized is not so here."""
    return tuple(note for note in imported.notes if not note.startswith(("already quantized", "weights were stored")))
