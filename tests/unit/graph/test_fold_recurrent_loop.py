"""Loops that are recurrent layers, as tf2onnx writes them; and what is left out around such layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgeai_converters.graph.passes.fold_recurrent_loop import fold_recurrent_loop
from edgeai_converters.graph.passes.tidy_recurrent import tidy_recurrent
from edgeai_converters.graph.simplify import simplify

Build = Callable[..., ir.Model]
Apply = Callable[..., tuple[dict[str, int], bool]]

HIDDEN = 4
INPUTS, OUTPUTS = f"float[N, 5, 3] x, float[N, {HIDDEN}] first", f"float[N, {HIDDEN}] last, float[5, N, {HIDDEN}] all"

PLAIN = """
    by_row = MatMul (row, W)
    by_state = MatMul (state, R)
    total = Add (by_row, by_state)
    biased = Add (total, B)
    new = Tanh (biased)
"""
GRU_HEAD = """
    bare_row = MatMul (row, W)
    by_row = Add (bare_row, B)
    xz, xr, xn = Split <axis = -1, num_outputs = 3> (by_row)
"""
GRU_TAIL = """
    n = Tanh (candidate)
    rest = Sub (unit, z)
    kept = Mul (z, state)
    taken = Mul (rest, n)
    new = Add (kept, taken)
"""
GRU_LATE = (
    GRU_HEAD
    + """
    bare_state = MatMul (state, R)
    by_state = Add (bare_state, RB)
    hz, hr, hn = Split <axis = -1, num_outputs = 3> (by_state)
    az = Add (xz, hz)
    z = Sigmoid (az)
    ar = Add (xr, hr)
    r = Sigmoid (ar)
    reset = Mul (r, hn)
    candidate = Add (xn, reset)
"""
    + GRU_TAIL
)
GRU_EARLY = (
    GRU_HEAD
    + """
    Rg = Slice (R, from, middle, one_axis)
    Rn = Slice (R, middle, to, one_axis)
    by_state = MatMul (state, Rg)
    hz, hr = Split <axis = -1, num_outputs = 2> (by_state)
    az = Add (xz, hz)
    z = Sigmoid (az)
    ar = Add (xr, hr)
    r = Sigmoid (ar)
    reset = Mul (r, state)
    hn = MatMul (reset, Rn)
    candidate = Add (xn, hn)
"""
    + GRU_TAIL
)

GRU_JOINED = """
    joined = Concat <axis = 1> (row, state)
    gates = Gemm (joined, KG, BG)
    gate = Sigmoid (gates)
    r, z = Split <axis = 1, num_outputs = 2> (gate)
    reset = Mul (r, state)
    again = Concat <axis = -1> (row, reset)
    candidate = Gemm <transB = 1> (again, KN, BN)
"""
GRU_JOINED += GRU_TAIL


def loop(cell: str, *, order: str = "counter") -> str:
    return f"""
        rows = Transpose <perm = [1, 0, 2]> (x)
        last, n, all = Loop (trips, go, first, zero) <body = step (
            int64 i, bool cond_in, float[N, {HIDDEN}] state, int64 counter
        ) => (bool cond_out, float[N, {HIDDEN}] state_out, int64 counter_out, float[N, {HIDDEN}] seen) {{
            place = {order}
            row = Gather <axis = 0> (rows, place)
            {cell}
            state_out = Identity (new)
            seen = Identity (new)
            counter_out = Add (counter, one)
            cond_out = Identity (cond_in)
        }}>
    """.replace("place = counter", "place = Identity (counter)")


def constants(gates: int) -> dict[str, Any]:
    return {
        "trips": np.array(5, np.int64),
        "go": np.array(True),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "four": np.array(4, np.int64),
        "unit": np.array(1, np.float32),
        "from": np.array([0], np.int64),
        "middle": np.array([2 * HIDDEN], np.int64),
        "to": np.array([3 * HIDDEN], np.int64),
        "one_axis": np.array([1], np.int64),
        "W": (3, gates * HIDDEN),
        "R": (HIDDEN, gates * HIDDEN),
        "B": (gates * HIDDEN,),
        "RB": (gates * HIDDEN,),
        "KG": (3 + HIDDEN, 2 * HIDDEN),
        "KN": (HIDDEN, 3 + HIDDEN),
        "BG": (2 * HIDDEN,),
        "BN": (HIDDEN,),
    }


@pytest.mark.parametrize(
    ("cell", "gates", "operator"),
    [(PLAIN, 1, "RNN"), (GRU_LATE, 3, "GRU"), (GRU_EARLY, 3, "GRU"), (GRU_JOINED, 3, "GRU")],
    ids=["plain", "late", "early", "joined"],
)
def test_loop_of_a_recurrent_cell_becomes_the_layer(
    cell: str, gates: int, operator: str, build: Build, apply: Apply
) -> None:
    model = build(loop(cell), inputs=INPUTS, outputs=OUTPUTS, **constants(gates))
    counts, changed = apply(fold_recurrent_loop, model)
    assert changed
    assert counts[operator] == 1
    assert "Loop" not in counts


LSTM = """
    by_row = MatMul (row, W)
    by_state = Gemm (state, R, RB)
    total = Add (by_row, by_state)
    biased = Add (total, B)
    a, b, c, d = Split <axis = -1, num_outputs = 4> (biased)
    i = Sigmoid (a)
    f = Sigmoid (b)
    g = Tanh (c)
    o = Sigmoid (d)
    kept = Mul (f, cell)
    taken = Mul (i, g)
    new_cell = Add (kept, taken)
    shown = Tanh (new_cell)
    new = Mul (o, shown)
"""


def lstm_loop(cell: str) -> str:
    return f"""
        rows = Transpose <perm = [1, 0, 2]> (x)
        last_cell, last, n, all = Loop (trips, go, first_cell, first, zero) <body = step (
            int64 i_trip, bool cond_in, float[N, {HIDDEN}] cell, float[N, {HIDDEN}] state, int64 counter
        ) => (bool cond_out, float[N, {HIDDEN}] cell_out, float[N, {HIDDEN}] state_out, int64 counter_out,
              float[N, {HIDDEN}] seen) {{
            row = Gather <axis = 0> (rows, counter)
            {cell}
            cell_out = Identity (new_cell)
            state_out = Identity (new)
            seen = Identity (new)
            counter_out = Add (counter, one)
            cond_out = Identity (cond_in)
        }}>
    """


LSTM_INPUTS = f"{INPUTS}, float[N, {HIDDEN}] first_cell"
LSTM_OUTPUTS = f"{OUTPUTS}, float[N, {HIDDEN}] last_cell"


@pytest.mark.parametrize("order", ["a b c d", "b a d c", "d c b a"])
def test_loop_of_an_lstm_cell_becomes_the_layer_whatever_the_order_of_its_gates(
    order: str, build: Build, apply: Apply
) -> None:
    names = ", ".join(order.split())
    model = build(
        lstm_loop(LSTM.replace("a, b, c, d = ", f"{names} = ")),
        inputs=LSTM_INPUTS,
        outputs=LSTM_OUTPUTS,
        **constants(4),
    )
    counts, changed = apply(fold_recurrent_loop, model)
    assert changed
    assert (counts["LSTM"], "Loop" in counts) == (1, False)


def test_lstm_whose_cell_goes_into_its_gates_stays(build: Build) -> None:
    cell = LSTM.replace("i = Sigmoid (a)", "peep = Add (a, cell)\n    i = Sigmoid (peep)")
    model = build(lstm_loop(cell), inputs=LSTM_INPUTS, outputs=LSTM_OUTPUTS, **constants(4))
    assert not fold_recurrent_loop(model)[1]


def test_loop_with_a_batch_of_its_own_becomes_the_layer(build: Build) -> None:
    flat = LSTM.replace(
        "total = Add (by_row, by_state)", "vector = Reshape (by_state, width) total = Add (by_row, vector)"
    )
    arrays = {**constants(4), "width": np.array([4 * HIDDEN], np.int64)}
    model = build(
        lstm_loop(flat), inputs=LSTM_INPUTS.replace("N", "1"), outputs=LSTM_OUTPUTS.replace("N", "1"), **arrays
    )
    assert fold_recurrent_loop(model)[1]
    assert [node.op_type for node in model.graph].count("LSTM") == 1


OTHERS = {
    "keeps the state where a GRU takes the candidate": GRU_LATE.replace("Mul (z, state)", "Mul (z, n)"),
    "adds the state once more": PLAIN.replace("Tanh (biased)", "Add (biased, state)"),
    "takes another function": PLAIN.replace("Tanh", "Sin"),
    "multiplies the row twice": PLAIN.replace("total = Add (by_row, by_state)", "total = Add (by_row, by_row)"),
}


@pytest.mark.parametrize("cell", OTHERS.values(), ids=OTHERS)
def test_loop_of_something_else_stays(cell: str, build: Build) -> None:
    gates = 3 if "Split" in cell else 1
    model = build(loop(cell), inputs=INPUTS, outputs=OUTPUTS, **constants(gates))
    assert not fold_recurrent_loop(model)[1]


def test_loop_that_reads_the_rows_in_another_order_stays(build: Build) -> None:
    model = build(loop(PLAIN, order="Sub (four, counter)"), inputs=INPUTS, outputs=OUTPUTS, **constants(1))
    assert not fold_recurrent_loop(model)[1]


@pytest.mark.parametrize("gates", [1])
def test_simplified_loop_is_a_layer_and_not_its_steps(gates: int, build: Build) -> None:
    model = build(loop(PLAIN), inputs=INPUTS, outputs=OUTPUTS, **constants(gates))
    simple, names = simplify(model)
    assert "fold_recurrent_loop" in names
    assert [node.op_type for node in simple.graph if node.op_type in ("RNN", "Loop", "Gather")] == ["RNN"]


WEIGHTS: dict[str, Any] = {"W": (1, 12, 3), "R": (1, 12, 4), "axes": np.array([1], np.int64)}


def test_zero_initial_state_is_left_out(build: Build, apply: Apply) -> None:
    body = """
        shape = Shape (x)
        n = Gather (shape, place)
        wide = Concat <axis = 0> (unit, n, hidden)
        zeros = Expand (zero, wide)
        y, h = GRU <hidden_size = 4> (x, W, R, , , zeros)
    """
    sizes = {"place": np.array([1]), "unit": np.array([1]), "hidden": np.array([4]), "zero": np.array(0, np.float32)}
    model = build(body, inputs="float[2, N, 3] x", outputs="float[1, N, 4] h", **WEIGHTS, **sizes)
    counts, changed = apply(lambda one: _tidied(one), model)
    assert changed
    assert counts == {"GRU": 1}


def _tidied(model: ir.Model) -> tuple[ir.Model, bool]:
    from edgeai_converters.graph.passes.tidy import remove_dead_nodes

    model, changed = tidy_recurrent(model)
    return remove_dead_nodes(model)[0], changed


REVERSE = {"lengths": np.array([2, 2], np.int64)}


def test_reversed_sequence_turns_the_direction_of_the_layer(build: Build, apply: Apply) -> None:
    body = """
        back = ReverseSequence <time_axis = 0, batch_axis = 1> (x, lengths)
        y, h = GRU <hidden_size = 4> (back, W, R)
        flat = Squeeze (y, axes)
        out = ReverseSequence <time_axis = 0, batch_axis = 1> (flat, lengths)
    """
    model = build(body, inputs="float[2, 2, 3] x", outputs="float[2, 2, 4] out", **WEIGHTS, **REVERSE)
    for _ in range(3):
        tidy_recurrent(model)
    counts, _ = apply(_tidied, model)
    assert counts == {"GRU": 1, "Squeeze": 1}
    (layer,) = [node for node in model.graph if node.op_type == "GRU"]
    assert layer.attributes["direction"].as_string() == "reverse"


def test_lengths_shorter_than_the_sequence_keep_their_operator(build: Build) -> None:
    body = "out = ReverseSequence <time_axis = 0, batch_axis = 1> (x, lengths)"
    model = build(body, inputs="float[3, 2, 3] x", outputs="float[3, 2, 3] out", **REVERSE)
    assert not tidy_recurrent(model)[1]


@pytest.mark.parametrize(
    ("direction", "place", "taken"), [("forward", -1, True), ("forward", 0, False), ("reverse", 0, True)]
)
def test_last_step_is_read_from_the_last_state(
    direction: str, place: int, taken: bool, build: Build, apply: Apply
) -> None:
    body = f"""
        y, h = GRU <hidden_size = 4, direction = "{direction}"> (x, W, R)
        flat = Squeeze (y, axes)
        out = Slice (flat, start, end, axis)
    """
    ends = {
        "start": np.array([place]),
        "end": np.array([place + 1 if place >= 0 else 2**31]),
        "axis": np.array([0]),
    }
    model = build(body, inputs="float[2, 2, 3] x", outputs="float[1, 2, 4] out", **WEIGHTS, **ends)
    counts, changed = apply(_tidied, model)
    assert changed == taken
    assert ("Slice" in counts) != taken
