"""Shapes of the graph: inferring them, and fixing free dimensions.

A free dimension is a name; the first dimension of an input that is free and has no name is called `batch`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edgeai_converters.graph.name_sizes import name_sizes
from edgeai_runtime.errors import UsageError

BATCH = "batch"

Dim = int | str | None


def shape_of(value: ir.Value | None) -> tuple[Dim, ...] | None:
    """Return a shape as integers, names of free dimensions, and `None`; `None` alone when the rank is unknown."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the shape of a value when every dimension is known, else `None`."""
    shape = shape_of(value)
    if shape is None:
        return None
    sizes = tuple(dim for dim in shape if isinstance(dim, int))
    return sizes if len(sizes) == len(shape) else None


def infer_shapes(model: ir.Model) -> None:
    """Infer the shape and type of every value anew, in place; what cannot be inferred keeps what it had."""
    before = {}
    for node in model.graph:
        for value in node.outputs:
            before[value] = value.shape
            value.shape = None
    infer = common_passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)
    infer(model)
    while _complete(model):
        infer(model)
    for value, shape in before.items():
        if value.shape is None and shape is not None:
            value.shape = shape
    name_sizes(model)


_LIKE_THEIR_INPUT = frozenset({"GroupNormalization", "RMSNormalization", "Swish"})
"""Operators that ONNX infers no shape for."""


def _complete(model: ir.Model) -> bool:
    """State the shapes and types that ONNX leaves out; tell whether there were any."""
    changed = False
    for node in model.graph:
        if node.op_type in _LIKE_THEIR_INPUT and node.domain in ("", "ai.onnx") and node.outputs[0].shape is None:
            source = node.inputs[0]
            if source is not None and source.shape is not None:
                node.outputs[0].shape, node.outputs[0].type = ir.Shape(source.shape), source.type
                changed = True
    return changed


def name_free_dims(model: ir.Model) -> None:
    """Name the free dimensions of the inputs that have no name, in place: `batch`, then `<input>_dim<i>`."""
    for value in model.graph.inputs:
        if value.shape is None:
            continue
        dims: list[int | str] = []
        for i, dim in enumerate(value.shape):
            name = dim if isinstance(dim, int) else dim.value
            if isinstance(name, int):
                dims.append(name if name > 0 else (BATCH if i == 0 else f"{value.name}_dim{i}"))
            else:
                dims.append(name or (BATCH if i == 0 else f"{value.name}_dim{i}"))
        value.shape = ir.Shape(dims)


def fix_shapes(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> ir.Model:
    """Return a copy whose named inputs have the given shapes, with all shapes inferred anew.

    Args:
        model: the graph.
        shapes: `{"x": (1, 3, 32, 32)}`; -1 or 0 keeps a dimension as it is.

    Raises:
        UsageError: no such input, another rank, or a dimension that is already fixed to another size.
    """
    if not shapes:
        return model
    model = model.clone()
    inputs = {value.name: value for value in model.graph.inputs}
    for name, wanted in shapes.items():
        if name not in inputs:
            raise UsageError(
                f"The model has no input named {name!r}.", hint=f"Its inputs: {', '.join(str(key) for key in inputs)}."
            )
        value = inputs[name]
        given = shape_of(value)
        if given is not None and len(given) != len(wanted):
            raise UsageError(f"Input {name!r} has {len(given)} dimensions {list(given)}. Received: {list(wanted)}.")
        dims: list[int | str | None] = []
        for i, size in enumerate(wanted):
            old = given[i] if given is not None else None
            if size <= 0:
                dims.append(old)
                continue
            if isinstance(old, int) and old != size:
                raise UsageError(f"Input {name!r} has the fixed shape {list(given or ())}. Received: {list(wanted)}.")
            dims.append(size)
        value.shape = ir.Shape(dims)
    infer_shapes(model)
    return model


def fix_batch(model: ir.Model, batch: int) -> ir.Model:
    """Return a copy whose batch is fixed, wherever `batch_shapes` finds it."""
    return fix_shapes(model, batch_shapes(model, batch))


def batch_shapes(model: ir.Model, batch: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the inputs with the batch fixed, -1 for what stays as it is.

    The batch is what is free first in an input, and everything else of that name (the states of a recurrent layer have
    it second). Where every first dimension is fixed (time steps, layers), it is the one free name that all inputs
    with free dimensions share.
    """
    dims = {value.name or "": shape_of(value) or () for value in model.graph.inputs}
    free = {name: {dim for dim in shape if not isinstance(dim, int)} for name, shape in dims.items()}
    names = {shape[0] for shape in dims.values() if shape and not isinstance(shape[0], int)}
    if not names:
        shared = set.intersection(*(each for each in free.values() if each)) if any(free.values()) else set()
        names = shared if len(shared) == 1 else set()
    return {
        name: tuple(batch if not isinstance(dim, int) and dim in names else -1 for dim in shape)
        for name, shape in dims.items()
        if free[name] & names
    }
