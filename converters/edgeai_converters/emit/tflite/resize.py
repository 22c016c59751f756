"""Changing the size of maps: Resize ↔ RESIZE_*, DepthToSpace ↔ DEPTH_TO_SPACE, SpaceToDepth ↔ SPACE_TO_DEPTH."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.emit.tflite.layout import Shape, channels_last
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.write_context import UnwritableError, WriteContext

_OPTIONS = {"RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions", "RESIZE_BILINEAR": "ResizeBilinearOptions"}
_Flags = tuple[bool, bool]
"""alignCorners, halfPixelCenters."""


def write_resize(context: WriteContext, node: ir.Node) -> None:
    """Write a nearest or linear resize of height and width, when TFLite reads the same places as the graph.

    Both sides' source places are computed and compared, so that a rounding rule that does not exist in TFLite is
    refused, not approximated. Nearest by a whole factor is written as copies of the channels and DEPTH_TO_SPACE,
    which unlike RESIZE_NEAREST_NEIGHBOR does not leave XNNPACK.
    """
    value = context.value(node)
    shape = context.graph_shape(context.result_name(node))
    mode = node.attributes.get_string("mode", "nearest")
    if value.rank != 4 or mode not in ("nearest", "linear"):
        raise UnwritableError(f"resize mode {mode!r} of rank {value.rank}; only nearest and linear in 4-D")
    if node.attributes.get_int("antialias", 0) != 0:
        raise UnwritableError("resize with antialias")
    sizes, wanted = value.shape[2:], shape[2:]
    if None in sizes or None in wanted or value.shape[:2] != shape[:2]:
        raise UnwritableError("resizes a free dimension, the batch or the channels")
    scales = _scales(context, node, value.shape, shape)
    order = channels_last(4)
    source = context.tensor(value, order, integer=value.quantization is not None)
    factor = _copy_factor(node, mode, sizes, wanted, scales)
    if factor and value.shape[1] is not None:
        _write_copies(context, node, source, factor)
        return
    flags = _matching_flags(node, mode, sizes, wanted, scales)
    result = context.result(node, order, value.quantization, non_negative=value.non_negative)
    table = context.integers([size or 0 for size in wanted], f"{node.outputs[0].name}/size")
    name = "RESIZE_NEAREST_NEIGHBOR" if mode == "nearest" else "RESIZE_BILINEAR"
    context.add(name, [source, table], [result], _OPTIONS[name], alignCorners=flags[0], halfPixelCenters=flags[1])


def _scales(context: WriteContext, node: ir.Node, old: Shape, new: Shape) -> list[float]:
    given = context.optional_constant(node, 2, "the scales")
    if given is not None and given.stored.size:
        chosen = node.attributes.get_ints("axes", list(range(len(old))))
        table = {axis % len(old): float(scale) for axis, scale in zip(chosen, given.real.reshape(-1), strict=True)}
        return [table.get(2, 1.0), table.get(3, 1.0)]
    return [(wanted or 1) / (size or 1) for size, wanted in zip(old[2:], new[2:], strict=True)]


def source_places(size: int, wanted: int, scale: float, transformation: str) -> NDArray[np.float64]:
    """Return where ONNX reads for each output place, by `coordinate_transformation_mode`."""
    places = np.arange(wanted, dtype=np.float64)
    if transformation == "half_pixel":
        return (places + 0.5) / scale - 0.5
    if transformation == "pytorch_half_pixel":
        return (places + 0.5) / scale - 0.5 if wanted > 1 else np.zeros(1)
    if transformation == "half_pixel_symmetric":
        adjustment = wanted / (scale * size)
        return size / 2 * (1 - adjustment) + (places + 0.5) / scale - 0.5
    if transformation == "align_corners":
        return places * (size - 1) / (wanted - 1) if wanted > 1 else np.zeros(1)
    if transformation == "asymmetric":
        return places / scale
    raise UnwritableError(f"coordinate_transformation_mode {transformation!r}")


def _tflite_places(size: int, wanted: int, flags: _Flags) -> NDArray[np.float64]:
    align, half = flags
    scale = (size - 1) / (wanted - 1) if align and wanted > 1 else size / wanted
    places = np.arange(wanted, dtype=np.float64)
    return (places + 0.5) * scale - 0.5 if half else places * scale


def _nearest(places: NDArray[np.float64], rule: str, size: int) -> NDArray[np.int64]:
    exact = np.round(places, 9)
    if rule == "round_prefer_floor":
        exact = np.ceil(exact - 0.5)
    elif rule == "round_prefer_ceil":
        exact = np.floor(exact + 0.5)
    else:
        exact = np.floor(exact) if rule == "floor" else np.ceil(exact)
    return np.asarray(np.clip(exact, 0, size - 1), np.int64)


def _graph_indices(node: ir.Node, size: int, wanted: int, scale: float) -> NDArray[np.int64]:
    transformation = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") or "half_pixel"
    rule = node.attributes.get_string("nearest_mode", "round_prefer_floor") or "round_prefer_floor"
    return _nearest(source_places(size, wanted, scale, transformation), rule, size)


def _copy_factor(node: ir.Node, mode: str, sizes: Shape, wanted: Shape, scales: list[float]) -> int:
    """Return the whole factor by which every place is repeated; 0 when it is not so."""
    if mode != "nearest":
        return 0
    factors = {(new or 0) / (old or 1) for old, new in zip(sizes, wanted, strict=True)}
    factor = int(factors.pop())
    if factors or factor < 2 or factor > 4:
        return 0
    for old, new, scale in zip(sizes, wanted, scales, strict=True):
        assert old is not None
        assert new is not None
        if new != old * factor or not np.array_equal(_graph_indices(node, old, new, scale), np.arange(new) // factor):
            return 0
    return factor


def _write_copies(context: WriteContext, node: ir.Node, source: int, factor: int) -> None:
    batch, height, width, channels = context.shape_of(source)
    assert channels is not None
    name = f"{node.outputs[0].name}/copies"
    copies = context.scratch(source, (batch, height, width, channels * factor**2), name)
    context.add(
        "CONCATENATION", [source] * factor**2, [copies], "ConcatenationOptions", axis=3, fusedActivationFunction=0
    )
    value = context.value(node)
    result = context.result(node, channels_last(4), value.quantization, non_negative=value.non_negative)
    context.add("DEPTH_TO_SPACE", [copies], [result], "DepthToSpaceOptions", blockSize=factor)


def _matching_flags(node: ir.Node, mode: str, sizes: Shape, wanted: Shape, scales: list[float]) -> _Flags:
    transformation = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") or "half_pixel"
    choices: list[_Flags] = [(False, False), (False, True), (True, False)]
    for flags in choices:
        same = True
        for old, new, scale in zip(sizes, wanted, scales, strict=True):
            assert old is not None
            assert new is not None
            theirs = _tflite_places(old, new, flags)
            if mode == "linear":
                ours = source_places(old, new, scale, transformation)
                same &= bool(np.allclose(np.clip(ours, 0, old - 1), np.clip(theirs, 0, old - 1), atol=1e-6))
                continue
            # TFLite rounds half away from zero with aligned corners; half-pixel centres are not moved back by half.
            theirs = np.floor(theirs + 0.5) if flags[0] or flags[1] else np.floor(np.round(theirs, 9))
            same &= np.array_equal(np.clip(theirs, 0, old - 1), _graph_indices(node, old, new, scale))
        if same:
            return flags
    raise UnwritableError(
        f"resize by {[round(scale, 4) for scale in scales]} with coordinates {transformation!r}: "
        "TFLite reads other places"
    )


def write_depth_to_space(context: WriteContext, node: ir.Node) -> None:
    """Write DEPTH_TO_SPACE; the order CRD (pixel shuffle) has its channels sorted first."""
    value = context.value(node)
    block = node.attributes.get_int("blocksize")
    order = channels_last(4)
    source = context.tensor(value, order, integer=value.quantization is not None)
    if node.attributes.get_string("mode", "DCR") == "CRD":
        source = _sorted_channels(context, source, block, f"{node.outputs[0].name}/sorted")
    result = context.result(node, order, value.quantization, non_negative=value.non_negative)
    context.add("DEPTH_TO_SPACE", [source], [result], "DepthToSpaceOptions", blockSize=block)


def _sorted_channels(context: WriteContext, source: int, block: int, name: str) -> int:
    """Bring channels from (channel, place in block) to (place in block, channel)."""
    shape = context.shape_of(source)
    batch, height, width, channels = shape
    if height is None or width is None or channels is None:
        raise UnwritableError("a free dimension other than the batch")
    rows = None if batch is None else math.prod((batch, height, width))
    split = context.reshaped(source, (rows, channels // block**2, block**2), f"{name}/split")
    moved = context.transposed(split, [0, 2, 1], f"{name}/moved")
    return context.reshaped(moved, shape, name)


def write_space_to_depth(context: WriteContext, node: ir.Node) -> None:
    """Write SPACE_TO_DEPTH."""
    value = context.value(node)
    order = channels_last(4)
    source = context.tensor(value, order, integer=value.quantization is not None)
    result = context.result(node, order, value.quantization, non_negative=value.non_negative)
    block = node.attributes.get_int("blocksize")
    context.add("SPACE_TO_DEPTH", [source], [result], "SpaceToDepthOptions", blockSize=block)


def read_resize(context: ReadContext, operator: Operator) -> None:
    """Read RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR."""
    sizes = [int(size) for size in context.known(operator, 1, "the size").reshape(-1)]
    nearest = operator.name == "RESIZE_NEAREST_NEIGHBOR"
    align, half = bool(operator.option("alignCorners", False)), bool(operator.option("halfPixelCenters", False))
    transformation = "align_corners" if align else "half_pixel" if half else "asymmetric"
    name = context.name(operator.outputs[0])
    batch, channels = context.shape(operator.inputs[0])[0], context.shape(operator.inputs[0])[3]
    attributes: dict[str, Any] = {"coordinate_transformation_mode": transformation}
    if nearest:
        attributes["nearest_mode"] = "round_prefer_ceil" if align or half else "floor"
    source = context.channels_first(operator.inputs[0])
    if batch is None or channels is None:
        target = context.integers(sizes, f"{name}/sizes")
        attributes["axes"] = [2, 3]
    else:
        target = context.integers([batch, channels, *sizes], f"{name}/sizes")
    made = context.add("Resize", [source, "", "", target], mode="nearest" if nearest else "linear", **attributes)
    context.finish(operator, made, channels_last=True)


def read_depth_to_space(context: ReadContext, operator: Operator) -> None:
    """Read DEPTH_TO_SPACE and SPACE_TO_DEPTH."""
    op_type = "DepthToSpace" if operator.name == "DEPTH_TO_SPACE" else "SpaceToDepth"
    source = context.channels_first(operator.inputs[0])
    made = context.add(op_type, [source], blocksize=int(operator.option("blockSize")))
    context.finish(operator, made, channels_last=True)
