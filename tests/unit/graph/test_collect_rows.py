"""Lists that loops write row by row, and Scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgeai_converters.graph.passes.collect_rows import collect_rows
from edgeai_converters.graph.passes.tidy_loop_bodies import tidy_loop_bodies
from edgeai_converters.graph.passes.write_scan import write_scan
from edgeai_converters.graph.simplify import simplify

Build = Callable[..., ir.Model]
Apply = Callable[..., tuple[dict[str, int], bool]]

INPUTS, OUTPUTS = "float[N, 4, 3] x, float[N, 3] first", "float[N, 3] last, float[L, N, 3] all"
SCATTER = """
    place = Unsqueeze (counter, two_axes)
    shape = Shape (state_out)
    wide_shape = Concat <axis = 0> (four, shape)
    wide = Expand (list, wide_shape)
    update = Unsqueeze (state_out, zero_axis)
    list_out = ScatterND (wide, place, update)
"""
JOIN = """
    at = Reshape (counter, one_long)
    head = Slice (list, zero_axis, at, zero_axis)
    update = Unsqueeze (state_out, zero_axis)
    behind = Reshape (counter_out, one_long)
    tail = Slice (list, behind, end, zero_axis)
    list_out = Concat <axis = 0> (head, update, tail)
"""
WHOLE = "list_out = Unsqueeze (state_out, zero_axis)"


def loop(write: str, *, more: str = "extra = Identity (counter_out)") -> str:
    return f"""
        last, n, all = Loop (trips, go, first, zero, empty) <body = step (
            int64 i, bool cond_in, float[N, 3] state, int64 counter, float[L, A, B] list
        ) => (bool cond_out, float[N, 3] state_out, int64 counter_out, float[L, A, B] list_out) {{
            row = Gather <axis = 1> (x, counter)
            sum = Add (state, row)
            state_out = Tanh (sum)
            counter_out = Add (counter, one)
            {write}
            {more}
            cond_out = Identity (cond_in)
        }}>
    """


def constants(empty: tuple[int, ...] = (4, 1, 1), first: int = 0) -> dict[str, Any]:
    return {
        "trips": np.array(4, np.int64),
        "go": np.array(True),
        "zero": np.array(first, np.int64),
        "one": np.array(1, np.int64),
        "one_long": np.array([1], np.int64),
        "four": np.array([4], np.int64),
        "end": np.array([2**31 - 1], np.int64),
        "zero_axis": np.array([0], np.int64),
        "two_axes": np.array([0, 1], np.int64),
        "empty": np.zeros(empty, np.float32),
    }


def body_inputs(model: ir.Model) -> int:
    (node,) = [node for node in model.graph if node.op_type == "Loop"]
    return len(node.attributes["body"].as_graph().inputs)


@pytest.mark.parametrize(
    ("write", "empty"), [(SCATTER, (4, 1, 1)), (JOIN, (4, 2, 3)), (WHOLE, (1, 2, 3))], ids=["scatter", "join", "whole"]
)
def test_list_that_is_written_row_by_row_is_collected(
    write: str, empty: tuple[int, ...], build: Build, apply: Apply
) -> None:
    model = build(loop(write), inputs=INPUTS, outputs=OUTPUTS, **constants(empty))
    _, changed = apply(collect_rows, model)
    assert changed
    assert body_inputs(model) == 4  # number of the trip, condition, state, counter


@pytest.mark.parametrize(
    "model_of",
    [
        pytest.param(lambda build: build(loop(SCATTER.replace("place = Unsqueeze (counter", "place = Unsqueeze (zero")),
                                         inputs=INPUTS, outputs=OUTPUTS, **constants((4, 2, 3))), id="rows left"),
        pytest.param(lambda build: build(loop(JOIN, more="seen = ReduceSum (list)").replace("Add (state, row)",
                     "Add (state, seen)").replace("row = Gather", "seen = ReduceSum <keepdims = 0> (list) row = Gather")
                     .replace("seen = ReduceSum (list)", ""),
                     inputs=INPUTS, outputs=OUTPUTS, **constants((4, 2, 3))), id="list is read"),
        pytest.param(lambda build: build(loop(JOIN.replace("Reshape (counter_out", "Reshape (counter")),
                                         inputs=INPUTS, outputs=OUTPUTS,
                                         **constants((4, 2, 3))), id="list grows"),
    ],
)  # fmt: skip
def test_list_of_which_more_is_used_is_carried_on(model_of: Callable[[Build], ir.Model], build: Build) -> None:
    assert not collect_rows(model_of(build))[1]


def test_identities_in_the_body_of_a_loop_go_away(build: Build, apply: Apply) -> None:
    write = WHOLE.replace("Unsqueeze (state_out", "Unsqueeze (same").replace(
        "list_out", "same = Identity (state_out) list_out"
    )
    model = build(loop(write), inputs=INPUTS, outputs=OUTPUTS, **constants((1, 2, 3)))
    _, changed = apply(tidy_loop_bodies, model)
    (node,) = [node for node in model.graph if node.op_type == "Loop"]
    assert changed
    assert [one.op_type for one in node.attributes["body"].as_graph()].count("Identity") == 1  # cond_out


SCAN = """
    rows = Transpose <perm = [1, 0, 2]> (x)
    last, all = Scan <num_scan_inputs = 1 {attributes}, body = step (float[N, 3] state, float[N, 3] row)
        => (float[N, 3] state_out, float[N, 3] seen) {{
            sum = Add (state, row)
            state_out = Tanh (sum)
            seen = Mul (state_out, row)
        }}> (first, {sequence})
"""


@pytest.mark.parametrize(
    ("attributes", "sequence", "all_shape"),
    [
        ("", "rows", "4, N, 3"),
        (", scan_input_directions = [1], scan_output_directions = [1]", "rows", "4, N, 3"),
        (", scan_input_axes = [1], scan_output_axes = [1]", "x", "N, 4, 3"),
        (", scan_output_axes = [-1]", "rows", "N, 3, 4"),
    ],
    ids=["forward", "backward", "axes", "last axis"],
)
def test_scan_over_a_known_length_becomes_a_loop(
    attributes: str, sequence: str, all_shape: str, build: Build, apply: Apply
) -> None:
    text = SCAN.format(attributes=attributes, sequence=sequence)
    model = build(text, inputs=INPUTS, outputs=f"float[N, 3] last, float[{all_shape}] all")
    counts, changed = apply(write_scan, model)
    assert changed
    assert (counts["Loop"], "Scan" in counts) == (1, False)
    assert not any(node.op_type == "Loop" for node in simplify(model)[0].graph)


def test_scan_over_a_free_length_stays(build: Build) -> None:
    text = SCAN.format(attributes="", sequence="rows")
    model = build(text, inputs="float[N, T, 3] x, float[N, 3] first", outputs="float[N, 3] last, float[T, N, 3] all")
    assert not write_scan(model)[1]
