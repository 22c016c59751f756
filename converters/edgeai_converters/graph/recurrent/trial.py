"""Trying what a loop computes: the cells in numpy, held against its body on drawn numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "Sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "Tanh": np.tanh,
    "Relu": lambda a: np.maximum(a, 0),
}
"""Activations that are looked for."""
_CLOSE = 1e-5
_DRAWN = 5
_KINDS = {1: "RNN", 3: "GRU", 4: "LSTM"}
_COUNTS = {"RNN": 1, "GRU": 2, "LSTM": 3}


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """A recurrent cell of ONNX, gates in its order of columns.

    Attributes:
        kind: `LSTM`, `GRU` or `RNN`.
        weight: `[features, gates · hidden]`.
        recurrence: `[hidden, gates · hidden]`.
        input_bias: `[gates · hidden]`.
        recurrent_bias: `[gates · hidden]`.
        activations: names of its functions.
        late: the reset gate of a GRU comes after the recurrent product.
    """

    kind: str
    weight: Array
    recurrence: Array
    input_bias: Array
    recurrent_bias: Array
    activations: tuple[str, ...] = ()
    late: bool = False

    def ordered(self, gates: Sequence[int], activations: tuple[str, ...]) -> Cell:
        """Return the cell with its gates in another order, and with functions."""
        hidden = self.recurrence.shape[0]
        places = np.concatenate([np.arange(gate * hidden, (gate + 1) * hidden) for gate in gates])
        return Cell(
            kind=self.kind,
            weight=self.weight[:, places],
            recurrence=self.recurrence[:, places],
            input_bias=self.input_bias[places],
            recurrent_bias=self.recurrent_bias[places],
            activations=activations,
            late=self.late,
        )


def kind_of(width: int, hidden: int, states: int) -> str | None:
    """Return the kind of a cell whose products give `width` numbers, `None` for no cell."""
    kind = _KINDS.get(width // hidden) if hidden and width % hidden == 0 else None
    return kind if kind is not None and states == (2 if kind == "LSTM" else 1) else None


def find_order(
    cell: Cell,
    evaluate: Callable[[Array, list[Array]], list[Array] | None],
    functions: Sequence[str],
    *,
    batch: int | None = None,
) -> Cell | None:
    """Return the cell with the order of gates and the functions that make it compute what a body computes.

    Args:
        cell: with gates in any order; a GRU with the early reset gate has its candidate last.
        evaluate: the body: (rows, states) → new states. `[n, features]`, `[n, hidden]` each.
        functions: those that the body has.
        batch: the `n` that the body takes, `None` for any.
    """
    random = np.random.default_rng(0)
    rows = random.normal(size=(_DRAWN, cell.weight.shape[0])).astype(np.float32)
    count = 2 if cell.kind == "LSTM" else 1
    states = [random.normal(size=(_DRAWN, cell.recurrence.shape[0])).astype(np.float32) for _ in range(count)]
    wanted = _in_batches(evaluate, rows, states, batch)
    if wanted is None or any(array.shape != states[0].shape for array in wanted):
        return None
    for gates in _orders(cell):
        for names in itertools.product(functions, repeat=_COUNTS[cell.kind]):
            tried = cell.ordered(gates, names)
            with np.errstate(all="ignore"):
                found = _COMPUTE[cell.kind](rows, states, tried)
            if all(_close(one, other) for one, other in zip(found, wanted, strict=True)):
                return tried
    return None


def _in_batches(
    evaluate: Callable[[Array, list[Array]], list[Array] | None], rows: Array, states: list[Array], batch: int | None
) -> list[Array] | None:
    """Return what a body computes for each row, `batch` of them at a time."""
    if batch is None:
        return evaluate(rows, states)
    parts: list[list[Array]] = []
    for place in range(len(rows)):
        part = evaluate(*_repeated(rows, states, place, batch))
        if part is None or any(array.ndim != 2 or len(array) != batch for array in part):
            return None
        parts.append([array[:1] for array in part])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _repeated(rows: Array, states: list[Array], first: int, batch: int) -> tuple[Array, list[Array]]:
    """Return `batch` of the rows and states, beginning with one."""
    places = [(first + i) % len(rows) for i in range(batch)]
    return rows[places], [state[places] for state in states]


def _orders(cell: Cell) -> Iterable[tuple[int, ...]]:
    if cell.kind == "RNN":
        return [(0,)]
    if cell.kind == "GRU" and not cell.late:
        return [(0, 1, 2), (1, 0, 2)]
    return itertools.permutations(range(3 if cell.kind == "GRU" else 4))


def _close(found: Array, wanted: Array) -> bool:
    return bool(np.allclose(found, wanted, rtol=_CLOSE, atol=_CLOSE * max(1.0, float(np.abs(wanted).max()))))


def _plain(rows: Array, states: list[Array], cell: Cell) -> list[Array]:
    total = rows @ cell.weight + states[0] @ cell.recurrence + cell.input_bias + cell.recurrent_bias
    return [FUNCTIONS[cell.activations[0]](total)]


def _gru(rows: Array, states: list[Array], cell: Cell) -> list[Array]:
    h = states[0]
    hidden = h.shape[1]
    by_row = rows @ cell.weight + cell.input_bias
    by_state = h @ cell.recurrence + cell.recurrent_bias
    gates = FUNCTIONS[cell.activations[0]](by_row[:, : 2 * hidden] + by_state[:, : 2 * hidden])
    z, r = gates[:, :hidden], gates[:, hidden:]
    if cell.late:
        product = r * by_state[:, 2 * hidden :]
    else:
        product = (r * h) @ cell.recurrence[:, 2 * hidden :] + cell.recurrent_bias[2 * hidden :]
    candidate = FUNCTIONS[cell.activations[1]](by_row[:, 2 * hidden :] + product)
    return [np.asarray((1 - z) * candidate + z * h)]


def _lstm(rows: Array, states: list[Array], cell: Cell) -> list[Array]:
    h, c = states
    hidden = h.shape[1]
    f, g, out = (FUNCTIONS[name] for name in cell.activations)
    total = rows @ cell.weight + h @ cell.recurrence + cell.input_bias + cell.recurrent_bias
    i, o, forget, candidate = (total[:, gate * hidden : (gate + 1) * hidden] for gate in range(4))
    new = f(forget) * c + f(i) * g(candidate)
    return [f(o) * out(new), new]


_COMPUTE: dict[str, Callable[[Array, list[Array], Cell], list[Array]]] = {"RNN": _plain, "GRU": _gru, "LSTM": _lstm}
