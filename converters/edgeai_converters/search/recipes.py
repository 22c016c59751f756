"""The recipes that need no calibration data: the float reference, weights in fewer bits, a source's own integers."""

from __future__ import annotations

from edgeai_converters.recipe import Recipe
from edgeai_converters.spec import CompressSpec
from edgeai_runtime.manifest import Format, Precision, Step

STORED: dict[Precision, str] = {"float16": "store_float16", "dynamic_int8": "store_int8_weights"}
"""Precision → the step that stores weights so."""

WIDE_SCHEMES: dict[Format, str] = {"tflite": "tflite-int16x8"}
"""Format → the scheme of precision `int16x8`, where its CPU engine has kernels for 16-bit activations."""


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
        refusal: why they can not; `None` when they can.
    """
    if refusal is not None or "int8" not in spec.precisions:
        return []
    emit = Step(op="emit", params={"format": format})
    return [Recipe(format=format, precision="int8", steps=(Step(op="carry_over"), emit))]
