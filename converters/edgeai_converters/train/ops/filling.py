"""Making values out of sizes and constants, and changing their type: ConstantOfShape, Range, Cast, OneHot."""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def cast(view: NodeView) -> Run:
    """Cast to another type."""
    dtype = torch_dtype(view, ir.DataType(view.integer("to", 1)))
    return lambda x: x.to(dtype)


def constant_of_shape(view: NodeView) -> Run:
    """ConstantOfShape: one value everywhere."""
    wanted = view.sizes(0)
    assert wanted is not None
    attribute = view.node.attributes.get("value")
    value = attribute.as_tensor().numpy().item() if attribute is not None else 0.0
    dtype = torch_dtype(view, attribute.as_tensor().dtype if attribute is not None else ir.DataType.FLOAT)
    return lambda shape=None: view.torch.full(wanted(shape), value, dtype=dtype)


def range_(view: NodeView) -> Run:
    """Range from a start to a limit by a step; none of them may be computed from data."""
    start, limit, step = (view.sizes(index) for index in range(3))
    assert start is not None
    assert limit is not None
    assert step is not None
    if any(
        view.is_constant(i) and (array := view.constant(i)) is not None and array.dtype.kind == "f" for i in range(3)
    ):
        raise view.unsupported("its steps are no integers")
    return lambda a=None, b=None, c=None: view.torch.arange(start(a)[0], limit(b)[0], step(c)[0])


def one_hot(view: NodeView) -> Run:
    """OneHot: `off` everywhere, `on` at the index."""
    axis = view.integer("axis", -1)
    depth = (view.integers(1) or [0])[0]

    def run(indices: Tensor, _: Tensor, values: Tensor) -> Tensor:
        hot = view.torch.nn.functional.one_hot(indices.long() % depth, depth).movedim(-1, axis)
        return view.torch.where(hot.bool(), values[1], values[0])

    return run


def torch_dtype(view: NodeView, dtype: ir.DataType) -> object:
    """Return PyTorch's name of a type."""
    names = {"FLOAT": "float32", "DOUBLE": "float64"}
    found = getattr(view.torch, names.get(dtype.name, dtype.name.lower()), None)
    if found is None:
        raise view.unsupported(f"it makes {dtype.name}")
    return found
