"""An LSTM, GRU or RNN node as data: what `steps.py` and the TFLite writer compute with.

Gates of ONNX, in its order of rows: LSTM i o f c, GRU z r h, RNN one. Peepholes are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import attribute, constant_of, input_of
from edgeai_converters.graph.recurrent.uniform import uniform_value
from edgeai_converters.graph.shapes import Dim, shape_of

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Recurrent operator → rows of its weights per hidden number."""

_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_PLAIN = frozenset({"Sigmoid", "Tanh", "Relu"})
_WITH_ALPHA = {"Affine": (1.0, 0.0), "LeakyRelu": (0.01, 0.0), "Elu": (1.0, 0.0)}
_WITH_BOTH = {"ScaledTanh": (1.0, 1.0), "HardSigmoid": (0.2, 0.5)}


class RecurrentError(Exception):
    """Why a recurrent node cannot be written otherwise than as it stands."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A function of ONNX's recurrent operators: its name, and its numbers where it has some."""

    name: str
    alpha: float = 1.0
    beta: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Matrix:
    """Weights `[rows, columns]` as the graph stores them.

    Attributes:
        stored: float32, float16 or int8.
        scale: of int8 weights, one per row, zero point 0.
    """

    stored: NDArray[Any]
    scale: NDArray[np.float32] | None = None

    @property
    def real(self) -> NDArray[np.float32]:
        """The weights as float32."""
        real = self.stored.astype(np.float32)
        return real if self.scale is None else real * self.scale[:, None]

    def rows(self, start: int, stop: int) -> Matrix:
        """Return some of the rows."""
        return Matrix(stored=self.stored[start:stop], scale=None if self.scale is None else self.scale[start:stop])


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """One direction of a layer.

    Attributes:
        weight: `[gates · hidden, features]`.
        recurrence: `[gates · hidden, hidden]`.
        input_bias: `[gates · hidden]`.
        recurrent_bias: `[gates · hidden]`.
        activations: functions of the gates: LSTM f g h, GRU f g, RNN f.
        reverse: goes from the last step to the first.
    """

    weight: Matrix
    recurrence: Matrix
    input_bias: NDArray[np.float32]
    recurrent_bias: NDArray[np.float32]
    activations: tuple[Activation, ...]
    reverse: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class RecurrentLayer:
    """A recurrent node.

    Attributes:
        node: the node.
        kind: `LSTM`, `GRU` or `RNN`.
        hidden: numbers of the state.
        features: numbers of a step's input.
        steps: length of the sequence.
        length: steps that are computed; the outputs of those behind are zero.
        batch: size, or name of the free dimension.
        directions: one or two.
        clip: limit of what goes into the activations; 0 for none.
        linear_before_reset: GRU multiplies with the reset gate after the recurrent product, not before.
        coupled: LSTM forgets what it does not let in (`input_forget`).
        batch_first: `layout` 1: inputs and outputs begin with the batch.
        initial_h: initial state, `None` for zeros.
        initial_c: initial cell, `None` for zeros.
    """

    node: ir.Node
    kind: str
    hidden: int
    features: int
    steps: int
    length: int
    batch: Dim
    directions: tuple[Direction, ...]
    clip: float
    linear_before_reset: bool
    coupled: bool
    batch_first: bool
    initial_h: ir.Value | None
    initial_c: ir.Value | None


def read_layer(node: ir.Node) -> RecurrentLayer:
    """Return a recurrent node as data.

    Raises:
        RecurrentError: something that cannot be read, with the reason.
    """
    kind = node.op_type
    shape = shape_of(node.inputs[0])
    weight, recurrence = (_stored(input_of(node, index), what) for index, what in ((1, "W"), (2, "R")))
    if shape is None or len(shape) != 3:
        raise RecurrentError("the shape of its input is not known; infer shapes first")
    batch_first = bool(attribute(node, "layout", 0))
    steps, batch = (shape[1], shape[0]) if batch_first else (shape[0], shape[1])
    if not isinstance(steps, int) or steps < 1:
        raise RecurrentError("the length of the sequence is free: fix it with --shape")
    count, rows, hidden = recurrence[0].shape
    if rows != GATES[kind] * hidden:
        raise RecurrentError(f"R has {rows} rows for {hidden} hidden numbers")
    peepholes = input_of(node, 7)
    if kind == "LSTM" and peepholes is not None and uniform_value(peepholes) != 0:
        raise RecurrentError("it has peepholes (input P), which are not supported")
    initial_h, initial_c = (_state(node, index) for index in (5, 6))
    return RecurrentLayer(
        node=node,
        kind=kind,
        hidden=hidden,
        features=weight[0].shape[2],
        steps=steps,
        length=_length(node, steps),
        batch=batch,
        directions=_directions(node, weight, recurrence, count),
        clip=float(attribute(node, "clip", 0.0)),
        linear_before_reset=bool(attribute(node, "linear_before_reset", 0)),
        coupled=bool(attribute(node, "input_forget", 0)),
        batch_first=batch_first,
        initial_h=initial_h,
        initial_c=initial_c if kind == "LSTM" else None,
    )


def _state(node: ir.Node, index: int) -> ir.Value | None:
    value = input_of(node, index)
    return None if value is None or uniform_value(value) == 0 else value


def _length(node: ir.Node, steps: int) -> int:
    lengths = input_of(node, 4)
    if lengths is None:
        return steps
    length = uniform_value(lengths)
    if length is None:
        raise RecurrentError("the lengths of the sequences (sequence_lens) are computed, or differ")
    return max(0, min(int(length), steps))


def _directions(node: ir.Node, weight: _Stored, recurrence: _Stored, count: int) -> tuple[Direction, ...]:
    word = str(attribute(node, "direction", "forward"))
    reverses = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[word]
    if count != len(reverses):
        raise RecurrentError(f"it is {word} and has weights for {count} directions")
    rows = recurrence[0].shape[1]
    given = input_of(node, 3)
    bias = np.zeros((count, 2 * rows), np.float32) if given is None else _real(given, "B")
    activations = _activations(node, count)
    return tuple(
        Direction(
            weight=_matrix(weight, place),
            recurrence=_matrix(recurrence, place),
            input_bias=bias[place, :rows],
            recurrent_bias=bias[place, rows:],
            activations=activations[place],
            reverse=reverse,
        )
        for place, reverse in enumerate(reverses)
    )


def _activations(node: ir.Node, count: int) -> list[tuple[Activation, ...]]:
    defaults = _DEFAULTS[node.op_type]
    names: Sequence[str] = attribute(node, "activations", ()) or defaults * count
    alphas, betas = (list(attribute(node, which, ())) for which in ("activation_alpha", "activation_beta"))
    if len(names) != len(defaults) * count:
        raise RecurrentError(f"it has {len(names)} activations for {count} directions")
    found = []
    known = {name.lower(): name for name in (*_PLAIN, *_WITH_ALPHA, *_WITH_BOTH)}
    for given in names:  # case does not matter in ONNX; numbers are taken in turn by those that have some
        name = known.get(given.lower())
        if name is None:
            raise RecurrentError(f"the activation {given} is not supported; these are: {', '.join(known.values())}")
        alpha, beta = _WITH_ALPHA.get(name) or _WITH_BOTH.get(name) or (1.0, 0.0)
        if name not in _PLAIN and alphas:
            alpha = float(alphas.pop(0))
        if (name in _WITH_BOTH or name == "Affine") and betas:
            beta = float(betas.pop(0))
        found.append(Activation(name=name, alpha=alpha, beta=beta))
    width = len(defaults)
    return [tuple(found[place * width : (place + 1) * width]) for place in range(count)]


_Stored = tuple[NDArray[Any], NDArray[np.float32] | None]
"""Weights `[directions, rows, columns]`, and of int8 ones the scale of every row."""


def _matrix(stored: _Stored, place: int) -> Matrix:
    return Matrix(stored=stored[0][place], scale=stored[1])


def _stored(value: ir.Value | None, what: str) -> _Stored:
    """Return constant weights as they are stored: also behind DequantizeLinear, or Cast of float16."""
    array = constant_of(value)
    if array is not None:
        return array, None
    producer = value.producer() if value is not None else None
    if producer is not None and producer.op_type == "Cast":
        array = constant_of(producer.inputs[0])
        if array is not None:
            return array, None
    if producer is not None and producer.op_type == "DequantizeLinear":
        array, scale = constant_of(producer.inputs[0]), constant_of(producer.inputs[1])
        zero = constant_of(input_of(producer, 2))
        per_row = scale is not None and (scale.size == 1 or int(attribute(producer, "axis", 1)) % 3 == 1)
        if array is not None and scale is not None and per_row and (zero is None or not zero.any()):
            return array, np.broadcast_to(scale.astype(np.float32).reshape(-1), array.shape[1:2])
    raise RecurrentError(f"its weights {what} are computed in the graph")


def _real(value: ir.Value, what: str) -> NDArray[np.float32]:
    array, scale = _stored(value, what)
    if scale is not None:
        raise RecurrentError(f"{what} is stored in integers")
    return array.astype(np.float32)
