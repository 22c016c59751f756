"""The boundary of the graph: what goes in and comes out, and inputs drawn to try it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAYOUT_PREFIX = "edgeai.layout."
"""`model.metadata_props["edgeai.layout.<value name>"]` holds the layout a source is known to have (`NHWC`)."""

_FREE_SIZE = 16  # what a free dimension other than the batch is drawn with, when nothing fixes it


def input_specs(model: ir.Model) -> tuple[TensorSpec, ...]:
    """Return one spec per input that must be fed, in order; initializers listed as inputs are left out."""
    values = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    return tuple(_spec(model, value) for value in values)


def output_specs(model: ir.Model) -> tuple[TensorSpec, ...]:
    """Return one spec per output, in order."""
    return tuple(_spec(model, value) for value in model.graph.outputs)


def set_layout(model: ir.Model, name: str, layout: str) -> None:
    """Note in the model that the input or output `name` has `layout` (`NHWC`, `NCHW`, …)."""
    model.metadata_props[LAYOUT_PREFIX + name] = layout


def infer_layouts(model: ir.Model) -> None:
    """Note the layout of rank-4 inputs that a convolution or pool reads, as far as the first steps tell, in place.

    An input that reaches a Conv or pool through element-wise nodes is NCHW; through Transpose(0, 3, 1, 2) it is NHWC.
    Notes that are there already stay.
    """
    for value in model.graph.inputs:
        layout = _layout_by_use(value, 0) if value.shape is not None and len(value.shape) == 4 else None
        if layout is not None and value.name and LAYOUT_PREFIX + value.name not in model.metadata_props:
            set_layout(model, value.name, layout)


def draw_inputs(specs: Sequence[TensorSpec], *, n: int, seed: int) -> dict[str, NDArray[Any]]:
    """Draw `n` samples per input, `[n, …]`: normal, uniform in [0, 1], uniform in [0, 255], zeros, in turn.

    Integers are drawn from 0 to 255 (8 bit) or 0 to 9 (wider: they may be indices). A free dimension other than the
    batch gets 16. Inputs without dimensions stay scalars.
    """
    generator = np.random.default_rng(seed)
    return {spec.name: _draw(generator, spec, n) for spec in specs}


def check_inputs(specs: Sequence[TensorSpec], arrays: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Check that `arrays` has every input, with its rank, dimensions (but the batch) and dtype.

    Raises:
        DataError: naming the input, what it is, and what was received.
    """
    for spec in specs:
        if spec.name not in arrays:
            raise DataError(
                f"{where}: no array for the input {spec.name!r}.",
                hint=f"Name an array {spec.name!r}. Received: {', '.join(arrays) or 'nothing'}.",
            )
        array = arrays[spec.name]
        fits = array.ndim == len(spec.shape) and all(
            wanted is None or wanted == got for wanted, got in zip(spec.shape[1:], array.shape[1:], strict=False)
        )
        if not fits or array.dtype != np.dtype(spec.dtype):
            shape = ["n", *(size if size is not None else "?" for size in spec.shape[1:])]
            raise DataError(
                f"{where}: the input {spec.name!r} takes {spec.dtype} {shape}. "
                f"Received: {array.dtype} {list(array.shape)}.",
                hint="Declare a preprocessing step (cast, resize, layout), or convert the data.",
            )


def _spec(model: ir.Model, value: ir.Value) -> TensorSpec:
    shape = tuple(dim if isinstance(dim, int) else None for dim in (value.shape if value.shape is not None else ()))
    dtype = value.dtype.numpy().name if value.dtype is not None else "float32"
    return TensorSpec(
        name=value.name or "",
        shape=shape,
        dtype=dtype,
        layout=model.metadata_props.get(LAYOUT_PREFIX + (value.name or "")),
    )


def _layout_by_use(value: ir.Value, depth: int) -> str | None:
    for node in value.consumers():
        if node.op_type in ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool") and node.inputs[0] is value:
            return "NCHW"
        if node.op_type == "Transpose":
            order = node.attributes.get("perm")
            return "NHWC" if order is not None and list(order.as_ints()) == [0, 3, 1, 2] else None
        if node.op_type in ("Add", "Sub", "Mul", "Div", "Pad", "Cast", "Relu", "Clip", "Identity") and depth < 8:
            found = _layout_by_use(node.outputs[0], depth + 1)
            if found is not None:
                return found
    return None


def _draw(generator: np.random.Generator, spec: TensorSpec, n: int) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    if not spec.shape:
        return np.asarray(generator.normal()).astype(dtype)
    shape = (n, *(size if size is not None else _FREE_SIZE for size in spec.shape[1:]))
    if dtype == np.bool_:
        return generator.random(shape) < 0.5
    if dtype.kind in "iu":
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max + 1) if dtype.itemsize == 1 else (0, 10)
        return generator.integers(low, high, shape).astype(dtype)
    samples = generator.normal(size=shape)
    samples[1::4] = generator.random(shape)[1::4]
    samples[2::4] = generator.random(shape)[2::4] * 255
    samples[3::4] = 0
    return samples.astype(dtype)
