"""Interpolate → Resize."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError

_MODES = {"nearest": "nearest", "linear": "linear", "linear_onnx": "linear", "cubic": "cubic"}
_TRANSFORMATIONS = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def read_interpolate(context: ReadContext, operation: Operation) -> str:
    """`Interpolate` of operation sets 4 and 11, by sizes or by scales, along given axes."""
    if operation.version == "opset1":
        raise UnreadableError("the form of operation set 1")
    mode = str(operation.attribute("mode")).lower()
    if mode not in _MODES:
        raise UnreadableError(f"mode {mode!r}")
    if any(operation.integers("pads_begin")) or any(operation.integers("pads_end")):
        raise UnreadableError("padding")
    by_sizes = str(operation.attribute("shape_calculation_mode")).lower() == "sizes"
    first_form = operation.version == "opset4"
    at = 1 if by_sizes or not first_form else 2
    axes_at = 3 if first_form else 2
    rank = operation.rank(0)
    axes = [*range(rank)]
    if operation.input_count > axes_at:
        axes = [axis % rank for axis in context.known_integers(operation, axes_at, "the axes")]
    attributes = _attributes(operation, _MODES[mode], axes)
    source = context.source(operation, 0)
    if not by_sizes:
        scales = np.ones(rank, np.float32)
        given = context.known(operation, at, "the scales").reshape(-1)
        scales[axes] = given
        return context.add(
            "Resize", [source, "", context.add_constant(scales, f"{operation.name}/scales")], **attributes
        )
    wanted, old = operation.output_shape(), operation.shape(0)
    untouched = [axis for axis in range(rank) if axis not in axes or (old[axis] or 0) == wanted[axis]]
    changed = [axis for axis in range(rank) if axis not in untouched]
    if all(wanted[axis] is not None for axis in changed) and all(axis in axes for axis in changed):
        sizes = context.integers([wanted[axis] or 0 for axis in changed], f"{operation.name}/sizes")
        return context.add("Resize", [source, "", "", sizes], axes=changed, **attributes)
    return context.add("Resize", [source, "", "", context.int64(operation, at, rank=1)], axes=axes, **attributes)


def _attributes(operation: Operation, mode: str, axes: list[int]) -> dict[str, Any]:
    transformation = str(operation.attribute("coordinate_transformation_mode", "half_pixel")).lower()
    if transformation not in _TRANSFORMATIONS:
        raise UnreadableError(f"coordinate_transformation_mode {transformation!r}")
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": transformation}
    if mode == "nearest":
        attributes["nearest_mode"] = _nearest(operation, axes)
    if mode == "cubic":
        attributes["cubic_coeff_a"] = float(operation.attribute("cube_coeff", -0.75))
    if operation.attribute("antialias", False) and mode != "nearest":
        attributes["antialias"] = 1
    return attributes


def _nearest(operation: Operation, axes: list[int]) -> str:
    mode = str(operation.attribute("nearest_mode", "round_prefer_floor")).lower()
    if mode in _NEAREST:
        return mode
    pairs = [(operation.shape(0)[axis], operation.output_shape()[axis]) for axis in axes]
    if mode != "simple" or any(None in pair for pair in pairs):
        raise UnreadableError(f"nearest_mode {mode!r}")
    smaller = {(new or 0) < (old or 0) for old, new in pairs if old != new}
    if len(smaller) > 1:
        raise UnreadableError("nearest_mode 'simple' that enlarges one axis and shrinks another")
    return "ceil" if True in smaller else "floor"
