"""Give free dimensions the names they deserve: inference forgets that a reshaped batch is still the batch.

Reshape(x [batch, 10, 32], [-1, 10, 4, 8]) has the shape [unk__0, 10, 4, 8] after ONNX's own inference; here unk__0
becomes `batch` again, and what is merged with it `4*batch`.
"""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.graph.sizes import Dim, product, quotient

_RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_BROADCASTS = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "Mod", "Where", "PRelu", "And", "Or", "Xor"}
    | {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
)
_INVENTED = "unk__"


def name_sizes(model: ir.Model) -> None:
    """Rename invented dimensions that follow from named ones, in place."""
    names: dict[str, Dim] = {}
    for node in model.graph:
        for value in node.outputs:
            sizes = _sizes(value)
            if sizes is not None:
                value.shape = ir.Shape([names.get(size, size) if isinstance(size, str) else size for size in sizes])
        if node.domain not in ("", "ai.onnx") or not node.outputs:
            continue
        output = node.outputs[0]
        sizes, wanted = _sizes(output), _wanted(node)
        if sizes is None or wanted is None or len(sizes) != len(wanted):
            continue
        pairs = zip(sizes, wanted, strict=True)
        names |= {old: new for old, new in pairs if isinstance(old, str) and old.startswith(_INVENTED) and new}
        output.shape = ir.Shape([names.get(size, size) if isinstance(size, str) else size for size in sizes])


def _sizes(value: ir.Value | None) -> list[Dim] | None:
    if value is None or value.shape is None:
        return None
    return [size if isinstance(size, int) else size.value for size in value.shape]


def _wanted(node: ir.Node) -> list[Dim] | None:
    """Return what the sizes of the first output should be; `None` entries where nothing is known."""
    sizes = _sizes(node.outputs[0])
    if sizes is None:
        return None
    if node.op_type in _RESHAPES:
        source = _sizes(node.inputs[0])
        free = [place for place, size in enumerate(sizes) if not isinstance(size, int)]
        if source is None or len(free) != 1:
            return None
        rest = product(size for place, size in enumerate(sizes) if place != free[0])
        found = quotient(product(source), rest)
        return [found if place == free[0] else size for place, size in enumerate(sizes)]
    inputs = [_sizes(value) for value in node.inputs if value is not None]
    if node.op_type in _BROADCASTS:
        return [_common(inputs, place - len(sizes)) for place in range(len(sizes))]
    if node.op_type == "MatMul" and all(one is None or len(one) > 2 for one in inputs):
        return [*(_common(inputs, place - len(sizes)) for place in range(len(sizes) - 2)), None, None]
    if node.op_type == "Concat":
        axis = node.attributes.get_int("axis", 0) % len(sizes)
        return [None if place == axis else _common(inputs, place - len(sizes)) for place in range(len(sizes))]
    return None


def _common(inputs: list[list[Dim] | None], place: int) -> Dim:
    """Return the size along an axis, counted from the end, when all inputs that are not 1 there agree."""
    found: set[Dim] = set()
    for sizes in inputs:
        if sizes is None:
            return None
        if -place <= len(sizes) and sizes[place] != 1:
            found.add(sizes[place])
    return found.pop() if len(found) == 1 else None
