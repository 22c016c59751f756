"""Weights drawn anew, so that a graph trains from nothing, deep ones without normalization as well.

Weights of layers are normal with the variance `gain² / fan-in` of He et al. 2015 (arXiv:1502.01852, section 2.2): gain
√2 before a rectifier, else 1. The last layer of each residual branch is divided by √branches, so that the sum over all
blocks keeps its size at any depth: what normalization would do (Arpit et al. 2019, arXiv:1906.02341; with zeros in
place of small weights: Fixup, arXiv:1901.09321, which trains that are in proportion to the weights cannot leave).
Recurrent weights are orthogonal (Saxe et al. 2014, arXiv:1312.6120), biases 0, that of an LSTM's forget gate 1
(Jozefowicz et al. 2015). Tables of embeddings and positions, and layers that read the graph's inputs, keep the spread
that they had: a graph does not say how large samples are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.train.parameters import trained_constants

Array = NDArray[np.float64]

_RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Operator → gates; their weights lie one below the other."""

_FORGET_GATE = 2
"""The third block of an LSTM's biases in ONNX's order (input, output, forget, cell)."""

_NORMS = frozenset(
    {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization"}
)
_RECTIFIERS = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Clip", "Gelu", "HardSwish", "HardSigmoid", "Mish", "Swish"}
)
_PASSES_ON = frozenset(
    {"Add", "AveragePool", "Cast", "Concat", "Flatten", "Identity", "MaxPool", "Pad", "Reshape", "Slice", "Squeeze"}
    | {"Transpose", "Unsqueeze", "BatchNormalization"}
)
_PRELU_SLOPE = 0.25


def draw_weights(model: ir.Model, *, seed: int = 0) -> ir.Model:
    """Return a copy of a graph whose trained constants are drawn anew; the same for the same seed.

    Args:
        model: the float graph, simplified, shapes inferred; not changed.
        seed: of the draw.
    """
    model = model.clone()
    graph = _Ancestry(model)
    residual = dict(graph.last_layers_of_branches())
    for number, name in enumerate(trained_constants(model)):
        value = model.graph.initializers[name]
        assert value.const_value is not None
        old = value.const_value.numpy()
        node, index = next(iter((use.node, use.idx) for use in value.uses()))
        random = np.random.default_rng([seed, number])
        use = _Use(node=node, index=index, gain=residual.get(node, 1.0), reads_input=graph.reads_input(node))
        array = _draw(np.asarray(old, np.float64), use, random)
        value.const_value = ir.tensor(np.ascontiguousarray(array.astype(old.dtype)), name=name)
    return model


@dataclass(frozen=True, kw_only=True)
class _Use:
    """What a constant is to the operator that uses it first.

    Attributes:
        node, index: the operator and which of its inputs the constant is.
        gain: by which its results shall be smaller than usual.
        reads_input: whether no other layer lies between it and the graph's inputs.
    """

    node: ir.Node
    index: int
    gain: float
    reads_input: bool


def _draw(old: Array, use: _Use, random: np.random.Generator) -> Array:
    node, index, kind = use.node, use.index, use.node.op_type
    if kind in _NORMS:
        return np.ones(old.shape) if index == 1 else np.zeros(old.shape)
    if kind in _RECURRENT:
        return _draw_recurrent(old, use, random)
    if kind == "PRelu":
        return np.full(old.shape, _PRELU_SLOPE)
    if kind == "Gather" or (kind == "Add" and sum(size > 1 for size in old.shape) > 1):
        return random.normal(size=old.shape) * _spread(old)
    fan_in = _fan_in(old, node, index)
    if fan_in is None:  # a bias
        return np.zeros(old.shape)
    spread = _spread(old) if use.reads_input else math.sqrt((2.0 if _is_rectified(node) else 1.0) / fan_in)
    return random.normal(size=old.shape) * (spread * use.gain)


def _draw_recurrent(old: Array, use: _Use, random: np.random.Generator) -> Array:
    """Return weights of a recurrent layer: `[directions, gates · hidden, inputs]` and the like."""
    gates = _RECURRENT[use.node.op_type]
    if use.index == 1:
        return random.normal(size=old.shape) * (_spread(old) if use.reads_input else math.sqrt(1.0 / old.shape[-1]))
    if use.index == 2:
        blocks = [[_orthogonal(old.shape[-1], random) for _ in range(gates)] for _ in range(old.shape[0])]
        return np.asarray([np.concatenate(each) for each in blocks])
    biases = np.zeros(old.shape)
    if use.node.op_type == "LSTM" and use.index == 3:
        hidden = old.shape[-1] // (2 * gates)
        biases[:, _FORGET_GATE * hidden : (_FORGET_GATE + 1) * hidden] = 1.0
    return biases


def _orthogonal(size: int, random: np.random.Generator) -> Array:
    q, r = np.linalg.qr(random.normal(size=(size, size)))
    return np.asarray(q * np.sign(np.diagonal(r)))


def _fan_in(old: Array, node: ir.Node, index: int) -> float | None:
    """Return how many products add up to one number; `None` for what is only added."""
    kind = node.op_type
    if kind == "Conv" and index == 1:
        return float(math.prod(old.shape[1:]))
    if kind == "ConvTranspose" and index == 1:
        strides = node.attributes.get_ints("strides", [1])
        taps = math.prod(old.shape[2:]) / math.prod(strides)
        return max(1.0, float(old.shape[0] / node.attributes.get_int("group", 1) * taps))
    if kind == "Gemm" and index < 2:
        turned = bool(node.attributes.get_int("transB" if index else "transA", 0))
        return float(old.shape[1 if turned == bool(index) else 0])
    if kind == "MatMul":
        return float(old.shape[max(-2, -old.ndim)] if index == 1 else old.shape[-1])
    return None


def _spread(array: Array) -> float:
    """Return the root mean square; that of a table of zeros is taken for 0.02, as transformers usually begin."""
    return float(np.sqrt(np.mean(np.square(array)))) or 0.02


def _is_rectified(node: ir.Node) -> bool:
    """Tell whether the next thing that is done to the results, beyond adding and moving, rectifies them."""
    waiting, seen = list(node.outputs), set(node.outputs)
    while waiting:
        for use in waiting.pop().uses():
            if use.node.op_type in _RECTIFIERS:
                return True
            if use.node.op_type in _PASSES_ON:
                fresh = [value for value in use.node.outputs if value not in seen]
                seen.update(fresh)
                waiting += fresh
    return False


class _Ancestry:
    """Which nodes each value depends on: sets of nodes as the bits of an integer, in the order of the graph."""

    def __init__(self, model: ir.Model) -> None:
        self._nodes = tuple(model.graph)
        names = frozenset(trained_constants(model))
        self._of: dict[ir.Value | None, int] = {}
        self._layers = 0
        for number, node in enumerate(self._nodes):
            before = 0
            for value in node.inputs:
                before |= self._of.get(value, 0)
            if any(value is not None and value.name in names and node.op_type != "Add" for value in node.inputs):
                self._layers |= 1 << number
            for value in node.outputs:
                self._of[value] = before | 1 << number

    def reads_input(self, node: ir.Node) -> bool:
        """Tell whether no layer with weights comes before this one."""
        before = 0
        for value in node.inputs:
            before |= self._of.get(value, 0)
        return not before & self._layers

    def last_layers_of_branches(self) -> Iterator[tuple[ir.Node, float]]:
        """Yield the last layers of residual branches, with the factor that keeps the sum over all of them in size.

        Two computed values of one shape that come from a common one are added: the one with more layers since then is
        the branch. With as many on both sides there is no shortcut to tell from a branch, and nothing is done.
        """
        branches = [branch for node in self._nodes if (branch := self._branch(node))]
        for branch in branches:
            layers = list(_bits(branch))
            for number in layers:
                after = (other for other in layers if other != number)
                if not any(self._of[self._nodes[other].outputs[0]] >> number & 1 for other in after):
                    yield self._nodes[number], 1.0 / math.sqrt(len(branches))

    def _branch(self, node: ir.Node) -> int:
        """Return the layers of the branch that an addition adds to its shortcut; none for other nodes."""
        if node.op_type != "Add" or any(self._of.get(value) is None for value in node.inputs):
            return 0
        a, b = (self._of[value] for value in node.inputs)
        if not a & b or shape_of(node.inputs[0]) != shape_of(node.inputs[1]):
            return 0
        only = a & ~b & self._layers, b & ~a & self._layers
        return 0 if only[0].bit_count() == only[1].bit_count() else max(only, key=int.bit_count)


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low
