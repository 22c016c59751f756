"""Recognise functions of one value that were written out: GELU, HardSwish, HardSigmoid, Mish, Softplus, Sigmoid.

Before: x → Div → Erf → Add → Mul → Mul → y   (0.5 · x · (1 + erf(x / √2))), or any other way to write it.
After:  x → Gelu → y.
A function is recognised by its numbers, not by the order of its nodes: the expression between x and y is computed in
float64 on points from -12 to 12 and must agree to `_TOLERANCE`, which is what constants stored in float32 leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_node, attribute, constant_of, input_of, nodes, replace_node
from edgeai_converters.graph.opset import can_raise_opset, raise_opset

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOLERANCE = 2e-6
"""Relative to the larger of 1 and the value."""
_MOST_NODES = 16
_POINTS = np.concatenate([np.linspace(-12, 12, 97), [1e-3, -1e-3, 0.37, -2.999, 3.001]])


def _erf(x: Any) -> Any:
    """Return the error function; scipy takes half a second to import, and most models have no use for it."""
    from scipy.special import erf

    return erf(x)


def _sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)) without overflow."""
    from scipy.special import expit

    return expit(x)


@dataclass(frozen=True, kw_only=True)
class _Function:
    """A function to recognise: the operator that says it, and an operator that every way to write it has."""

    op_type: str
    compute: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    marks: frozenset[str]
    ends: frozenset[str]
    opset: int = 18
    attributes: Mapping[str, Any] = field(default_factory=dict)


_CLAMPS = frozenset({"Clip", "Relu", "Min", "Max", "HardSigmoid"})
_PRODUCTS = frozenset({"Mul", "Div"})

_FUNCTIONS = (
    _Function(
        op_type="Gelu",
        compute=lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2))),
        marks=frozenset({"Erf"}),
        ends=_PRODUCTS,
        opset=20,
    ),
    _Function(
        op_type="Gelu",
        compute=lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        marks=frozenset({"Tanh"}),
        ends=_PRODUCTS,
        opset=20,
        attributes={"approximate": "tanh"},
    ),
    _Function(
        op_type="Mish",
        compute=lambda x: x * np.tanh(np.log1p(np.exp(x))),
        marks=frozenset({"Tanh", "Exp"}),
        ends=_PRODUCTS,
    ),
    _Function(op_type="HardSwish", compute=lambda x: x * np.clip(x + 3, 0, 6) / 6, marks=_CLAMPS, ends=_PRODUCTS),
    _Function(
        op_type="HardSigmoid",
        compute=lambda x: np.clip(x / 6 + 0.5, 0, 1),
        marks=_CLAMPS - {"HardSigmoid"},
        ends=_PRODUCTS | _CLAMPS,
        attributes={"alpha": 1 / 6, "beta": 0.5},
    ),
    _Function(
        op_type="Softplus", compute=lambda x: np.log1p(np.exp(x)), marks=frozenset({"Log"}), ends=frozenset({"Log"})
    ),
    _Function(
        op_type="Sigmoid",
        compute=lambda x: 1 / (1 + np.exp(-x)),
        marks=frozenset({"Exp"}),
        ends=frozenset({"Div", "Reciprocal"}),
    ),
)
_ENDS = tuple(sorted({end for function in _FUNCTIONS for end in function.ends}))


def fuse_functions(model: ir.Model) -> tuple[ir.Model, bool]:
    """Replace written-out activations by their operators; the opset is raised to 20 when one of them needs it."""
    changed = False
    for node in reversed(list(nodes(model, *_ENDS))):
        if node.graph is not None and _fuse(model, node):
            changed = True
    return model, changed


def _fuse(model: ir.Model, node: ir.Node) -> bool:
    dtype = node.outputs[0].dtype
    if dtype not in (None, ir.DataType.FLOAT):
        return False
    cone = _cone(node)
    op_types = {producer.op_type for value in cone if (producer := value.producer()) is not None} | {node.op_type}
    wanted = [f for f in _FUNCTIONS if node.op_type in f.ends and f.marks & op_types]
    wanted = [f for f in wanted if f.opset <= model.graph.opset_imports.get("", 18) or can_raise_opset(model)]
    if not wanted:
        return False
    for source in cone:
        if source.dtype not in (None, ir.DataType.FLOAT):
            continue
        with np.errstate(all="ignore"):
            found = _evaluate(node.outputs[0], source, 0)
        if found is None or found.shape != _POINTS.shape:
            continue
        for function in wanted:
            expected = function.compute(_POINTS)
            if np.all(np.abs(found - expected) <= _TOLERANCE * np.maximum(1, np.abs(expected))):
                raise_opset(model, function.opset)
                name = node.name or function.op_type.lower()
                made = add_node(
                    model,
                    node,
                    function.op_type,
                    [source],
                    name=name,
                    attributes=function.attributes,
                    like=node.outputs[0],
                )
                replace_node(model, node, made)
                return True
    return False


def _cone(node: ir.Node) -> list[ir.Value]:
    """Return the values that the node's output is computed from by functions of one value, nearest first."""
    found: list[ir.Value] = []
    queue = [value for value in node.inputs if value is not None]
    while queue and len(found) < _MOST_NODES:
        value = queue.pop(0)
        if value in found or constant_of(value) is not None:
            continue
        found.append(value)
        producer = value.producer()
        if producer is not None and producer.domain in ("", "ai.onnx") and producer.op_type in _OPERATORS:
            queue.extend(one for one in producer.inputs if one is not None)
    return found


def _evaluate(value: ir.Value | None, source: ir.Value, depth: int) -> NDArray[np.float64] | None:
    """Compute `value` on the points, put in for `source`; `None` when it depends on more than that."""
    if value is source:
        return _POINTS
    constant = constant_of(value)
    if constant is not None:
        return constant.reshape(()).astype(np.float64) if constant.size == 1 and constant.dtype.kind == "f" else None
    node = value.producer() if value is not None else None
    if node is None or depth > _MOST_NODES or node.domain not in ("", "ai.onnx"):
        return None
    operator = _OPERATORS.get(node.op_type)
    if operator is None:
        return None
    operands: list[NDArray[np.float64] | None] = []
    for index in range(len(node.inputs)):
        operand = input_of(node, index)
        if operand is None:
            operands.append(None)
            continue
        computed = _evaluate(operand, source, depth + 1)
        if computed is None:
            return None
        operands.append(computed)
    result: NDArray[np.float64] = operator(node, *operands)
    return result


def _clip(node: ir.Node, x: Any, low: Any = None, high: Any = None) -> Any:
    return np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)


def _hard_sigmoid(node: ir.Node, x: Any) -> Any:
    return np.clip(float(attribute(node, "alpha", 0.2)) * x + float(attribute(node, "beta", 0.5)), 0, 1)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "Clip": _clip,
    "Div": lambda _, a, b: a / b,
    "Erf": lambda _, x: _erf(x),
    "Exp": lambda _, x: np.exp(x),
    "HardSigmoid": _hard_sigmoid,
    "Log": lambda _, x: np.log(x),
    "Max": lambda _, *all_: np.maximum.reduce(np.broadcast_arrays(*all_)),
    "Min": lambda _, *all_: np.minimum.reduce(np.broadcast_arrays(*all_)),
    "Mul": lambda _, a, b: a * b,
    "Neg": lambda _, x: -x,
    "Pow": lambda _, a, b: np.power(a, b),
    "Reciprocal": lambda _, x: 1 / x,
    "Relu": lambda _, x: np.maximum(x, 0),
    "Sigmoid": lambda _, x: _sigmoid(x),
    "Softplus": lambda _, x: np.log1p(np.exp(x)),
    "Sub": lambda _, a, b: a - b,
    "Tanh": lambda _, x: np.tanh(x),
}
"""Operator → what it computes on arrays, by its node."""
