"""One step of an LSTM, a GRU and a plain recurrent layer, as nodes; what a zero state (`None`) feeds is left out.

The input part `W · x + biases` is given: it is computed for all steps at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import constant_of
from edgeai_converters.graph.recurrent.layer import Activation, Direction, Matrix, RecurrentLayer
from edgeai_converters.graph.recurrent.step_writer import StepWriter
from edgeai_converters.graph.shapes import Dim


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Rows of the weights whose products are computed together.

    Attributes:
        label: for names.
        weight: of the inputs `[rows, features]`.
        recurrence: of the state `[rows, hidden]`.
        input_bias: added once for all steps.
        recurrent_bias: added after the recurrent product of each step; `None` where it is in `input_bias`.
    """

    label: str
    weight: Matrix
    recurrence: Matrix
    input_bias: NDArray[np.float32]
    recurrent_bias: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """What goes from step to step, `[batch, hidden]`; `None` is zero. Only an LSTM has `c`."""

    h: ir.Value | None = None
    c: ir.Value | None = None


def parts_of(layer: RecurrentLayer, direction: Direction) -> tuple[Part, ...]:
    """Return the products of a step: one, for a GRU those of its gates and of its candidate."""
    both = direction.input_bias + direction.recurrent_bias
    if layer.kind != "GRU":
        whole = Part(label="all", weight=direction.weight, recurrence=direction.recurrence, input_bias=both)
        return (whole,)
    middle, end = 2 * layer.hidden, 3 * layer.hidden
    candidate_bias = direction.input_bias[middle:] if layer.linear_before_reset else both[middle:]
    return (
        Part(
            label="gates",
            weight=direction.weight.rows(0, middle),
            recurrence=direction.recurrence.rows(0, middle),
            input_bias=both[:middle],
        ),
        Part(
            label="candidate",
            weight=direction.weight.rows(middle, end),
            recurrence=direction.recurrence.rows(middle, end),
            input_bias=candidate_bias,
            recurrent_bias=direction.recurrent_bias[middle:] if layer.linear_before_reset else None,
        ),
    )


class Cell:
    """Writes the steps of one direction of a layer.

    Args:
        writer: where the nodes go.
        layer: the layer.
        functions: activations of the direction.
        parts: of `parts_of`.
        label: of the direction, for names.
    """

    def __init__(
        self,
        writer: StepWriter,
        layer: RecurrentLayer,
        functions: tuple[Activation, ...],
        parts: tuple[Part, ...],
        label: str,
    ) -> None:
        self._writer, self._layer, self._functions, self._parts = writer, layer, functions, parts
        self._shape: tuple[Dim, ...] = (layer.batch, layer.hidden)
        self._label = label

    def step(self, inputs: tuple[ir.Value, ...], state: State, number: int) -> State:
        """Write one step.

        Args:
            inputs: `[batch, rows]` per part: the input part of its product.
            state: before the step.
            number: of the step, for names.
        """
        write = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._plain}[self._layer.kind]
        return write(inputs, state, f"{self._label}{number}")

    def _lstm(self, inputs: tuple[ir.Value, ...], state: State, at: str) -> State:
        f, g, h = self._functions
        gates = self._sum(inputs[0], self._recurrent(state.h, self._parts[0], at), at)
        i, o, forget, candidate = self._writer.split(gates, 4, self._layer.hidden, f"{at}/split")
        i, o = self._gate(f, i, f"{at}/i"), self._gate(f, o, f"{at}/o")
        new = self._op("Mul", i, self._gate(g, candidate, f"{at}/g"), f"{at}/in")
        if state.c is not None:
            if self._layer.coupled:
                one = self._writer.constant(np.ones(1, np.float32), f"{at}/one")
                keep = self._op("Sub", one, i, f"{at}/f")
            else:
                keep = self._gate(f, forget, f"{at}/f")
            new = self._op("Add", self._op("Mul", keep, state.c, f"{at}/kept"), new, f"{at}/c")
        return State(h=self._op("Mul", o, self._writer.activation(h, new, f"{at}/ch"), f"{at}/h"), c=new)

    def _gru(self, inputs: tuple[ir.Value, ...], state: State, at: str) -> State:
        f, g = self._functions
        first, second = self._parts
        late = self._layer.linear_before_reset
        bias = second.recurrent_bias
        gates = self._sum(inputs[0], self._recurrent(state.h, first, at), at)
        z, r = self._writer.split(self._gate(f, gates, f"{at}/gate"), 2, self._layer.hidden, f"{at}/split")
        product = None
        if late and state.h is not None:
            product = self._op("Mul", r, self._recurrent(state.h, second, at), f"{at}/reset")
        elif late and bias is not None and bias.any():
            product = self._op("Mul", r, self._writer.constant(bias, f"{at}/bias"), f"{at}/reset")
        elif state.h is not None:
            product = self._recurrent(self._op("Mul", r, state.h, f"{at}/reset"), second, at)
        candidate = self._gate(g, self._sum(inputs[1], product, f"{at}/n"), f"{at}/candidate")
        if state.h is None:  # (1 - z) · n
            return State(h=self._op("Sub", candidate, self._op("Mul", z, candidate, f"{at}/zn"), f"{at}/h"))
        # z · h + (1 - z) · n, with one product less
        change = self._op("Mul", z, self._op("Sub", state.h, candidate, f"{at}/d"), f"{at}/zd")
        return State(h=self._op("Add", candidate, change, f"{at}/h"))

    def _plain(self, inputs: tuple[ir.Value, ...], state: State, at: str) -> State:
        total = self._sum(inputs[0], self._recurrent(state.h, self._parts[0], at), at)
        return State(h=self._gate(self._functions[0], total, f"{at}/h"))

    def _recurrent(self, h: ir.Value | None, part: Part, at: str) -> ir.Value | None:
        """Return the recurrent product of a part, `None` for a zero state."""
        if h is None:
            return None
        known = constant_of(h)
        if known is not None:  # a constant initial state: so is its product
            product = known.astype(np.float32) @ part.recurrence.real.T
            product = product if part.recurrent_bias is None else product + part.recurrent_bias
            return self._writer.constant(product.astype(np.float32), f"{at}/{part.label}")
        return self._writer.product(h, part.recurrence, part.recurrent_bias, f"{at}/{part.label}")

    def _sum(self, value: ir.Value, product: ir.Value | None, at: str) -> ir.Value:
        return value if product is None else self._writer.add("Add", [product, value], _shape(value), f"{at}/sum")

    def _gate(self, function: Activation, value: ir.Value, label: str) -> ir.Value:
        return self._writer.activation(function, self._writer.limited(value, self._layer.clip, f"{label}/clip"), label)

    def _op(self, op_type: str, left: ir.Value, right: ir.Value | None, label: str) -> ir.Value:
        return self._writer.add(op_type, [left, right], self._shape, label)


def _shape(value: ir.Value) -> tuple[Dim, ...]:
    assert value.shape is not None, value.name
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)
