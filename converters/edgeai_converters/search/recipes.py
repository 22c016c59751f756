"""The recipes that need no calibration data: the float reference, weights in fewer bits, a source's own integers."""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.quantize.dense_weights import dense_weights
from edgeai_converters.quantize.store_int4_weights import INT4_SUPPORT
from edgeai_converters.recipe import Recipe
from edgeai_converters.spec import DEFAULT_PRECISIONS, CompressSpec
from edgeai_runtime.manifest import Format, Precision, Step

STORED: dict[Precision, str] = {"float16": "store_float16", "dynamic_int8": "store_int8_weights"}
"""Precision → the step that stores weights so."""

WIDE_SCHEMES: dict[Format, str] = {"tflite": "tflite-int16x8"}
"""Format → the scheme of precision `int16x8`, where its CPU engine has kernels for 16-bit activations."""

MOST_WEIGHTS = 0.5
"""Share of a graph's constants that int4 must reach to be tried without being asked for."""


def float_recipe(format: Format) -> Recipe:
    """Return the recipe of the reference that every other candidate of the format is held against."""
    return Recipe(format=format, precision="float32", steps=(Step(op="emit", params={"format": format}),))


def stored_recipes(spec: CompressSpec, format: Format) -> list[Recipe]:
    """Return the recipes that only store weights differently, for the precisions asked for."""
    emit = Step(op="emit", params={"format": format})
    return [
        Recipe(format=format, precision=precision, steps=(Step(op=op), emit))
        for precision, op in STORED.items()
        if precision in spec.precisions
    ]


def int4_recipes(spec: CompressSpec, format: Format, model: ir.Model, *, calibrated: bool) -> list[Recipe]:
    """Return the recipe with int4 weights, if most of the graph's weights can be, or it was asked for.

    Args:
        spec: what the user asked for.
        format: the format.
        model: the float graph.
        calibrated: whether there are samples to round weights by.
    """
    if "int4" not in spec.precisions or (spec.precisions == DEFAULT_PRECISIONS and not worth_int4(model, format)):
        return []
    rounding = (Step(op="gptq"),) if calibrated else ()
    steps = (*rounding, Step(op="store_int4_weights"), Step(op="emit", params={"format": format}))
    return [Recipe(format=format, precision="int4", steps=steps)]


def worth_int4(model: ir.Model, format: Format) -> bool:
    """Say whether most of a graph's constants are dense weights that the format's engine computes in int4."""
    fit = dense_weights(model, least_elements=INT4_SUPPORT[format].least_elements, group=32)
    held = sum(tensor.size for value in model.graph.initializers.values() if (tensor := value.const_value) is not None)
    return sum(one.size for one in fit) > MOST_WEIGHTS * held


def finishing_steps(spec: CompressSpec, format: Format) -> tuple[Step, ...]:
    """Return what is done to a quantized graph last, as the user asked."""
    steps = []
    if spec.boundary != "float32" and format != "openvino":
        steps.append(Step(op="integer_boundary", params={"inputs": spec.boundary, "outputs": spec.boundary}))
    if spec.qoperator and format == "onnx":
        steps.append(Step(op="qoperator"))
    return tuple(steps)


def carried_recipes(spec: CompressSpec, format: Format, *, refusal: str | None) -> list[Recipe]:
    """Return the recipe that keeps the integers of a quantized source, if they can be kept in the format.

    Args:
        spec: what the user asked for.
        format: the format.
        refusal: why they cannot; `None` when they can.
    """
    if refusal is not None or "int8" not in spec.precisions:
        return []
    emit = Step(op="emit", params={"format": format})
    return [Recipe(format=format, precision="int8", steps=(Step(op="carry_over"), emit))]
