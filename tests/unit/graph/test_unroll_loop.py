"""Loops written out trip by trip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgeai_converters.graph.passes import unroll_loop as module
from edgeai_converters.graph.passes.unroll_loop import unroll_loop

Build = Callable[..., ir.Model]
Apply = Callable[..., tuple[dict[str, int], bool]]

INPUTS, OUTPUTS = "float[N, 4, 3] x, float[N, 3] first", "float[N, 3] last, float[T, N, 3] all"
TRIPS = np.array(4, np.int64)
TRUE, ONE, ZERO = np.array(True), np.array(1, np.int64), np.array(0, np.int64)


def loop(condition: str = "cond_out = Identity (cond_in)", *, trips: str = "trips") -> str:
    """Return `last, all = Loop`: every trip adds x[counter] · W to the state."""
    return f"""
        last, n, all = Loop ({trips}, go, first, zero) <body = step (
            int64 i, bool cond_in, float[N, 3] state, int64 counter
        ) => (bool cond_out, float[N, 3] state_out, int64 counter_out, float[N, 3] seen) {{
            row = Gather <axis = 1> (x, counter)
            turned = Transpose (W)
            product = MatMul (row, turned)
            state_out = Add (state, product)
            seen = Tanh (state_out)
            counter_out = Add (counter, one)
            {condition}
        }}>
    """


CONSTANTS: dict[str, Any] = {"trips": TRIPS, "go": TRUE, "zero": ZERO, "one": ONE, "W": (3, 3)}
LESS = """three = Constant <value = int64 {3}> ()
            cond_out = Less (counter_out, three)"""


def test_loop_with_a_constant_number_of_trips_is_written_out(build: Build, apply: Apply) -> None:
    counts, changed = apply(unroll_loop, build(loop(), inputs=INPUTS, outputs=OUTPUTS, **CONSTANTS))
    assert changed
    assert "Loop" not in counts
    assert (counts["MatMul"], counts["Tanh"], counts["Gather"]) == (4, 4, 4)


def test_what_does_not_change_is_computed_once(build: Build, apply: Apply) -> None:
    counts, _ = apply(unroll_loop, build(loop(), inputs=INPUTS, outputs=OUTPUTS, **CONSTANTS))
    assert counts["Transpose"] == 1


@pytest.mark.parametrize("trips", ["trips", ""])
def test_condition_ends_the_loop(trips: str, build: Build, apply: Apply) -> None:
    counts, changed = apply(unroll_loop, build(loop(LESS, trips=trips), inputs=INPUTS, outputs=OUTPUTS, **CONSTANTS))
    assert changed
    assert counts["MatMul"] == 3


UNKNOWN = """total = ReduceSum <keepdims = 0> (state_out)
            zero_float = Constant <value = float {0}> ()
            cond_out = Less (zero_float, total)"""


def test_loop_that_depends_on_its_numbers_stays(build: Build) -> None:
    model = build(loop(UNKNOWN), inputs=INPUTS, outputs=OUTPUTS, **CONSTANTS)
    assert not unroll_loop(model)[1]


def test_number_of_trips_that_is_an_input_stays(build: Build) -> None:
    rest = {name: array for name, array in CONSTANTS.items() if name != "trips"}
    model = build(loop(), inputs=f"{INPUTS}, int64 trips", outputs=OUTPUTS, **rest)
    assert not unroll_loop(model)[1]


def test_loop_that_would_be_too_long_stays(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NODES", 10)
    model = build(loop(), inputs=INPUTS, outputs=OUTPUTS, **CONSTANTS)
    assert not unroll_loop(model)[1]


def test_loop_without_trips_hands_on_its_states(build: Build, apply: Apply) -> None:
    body = loop().replace("last, n, all", "last, n").replace(", float[N, 3] seen)", ")").replace("seen = ", "unused = ")
    constants = CONSTANTS | {"trips": np.array(0, np.int64)}
    counts, changed = apply(unroll_loop, build(body, inputs=INPUTS, outputs="float[N, 3] last", **constants))
    assert changed
    assert counts == {"Identity": 1}
