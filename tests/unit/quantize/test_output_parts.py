"""Outputs that a concatenation made fall into parts; others do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.output_parts import output_parts

Build = Callable[..., ir.Model]


def test_a_concatenated_output_has_one_part_per_input(build: Build) -> None:
    model = build("y = Concat<axis=1>(a, b)", inputs="float[N,4] a, float[N,2] b", outputs="float[N,6] y")
    cuts = [part.cut(np.arange(12).reshape(2, 6)).tolist() for part in output_parts(model)]
    assert cuts == [[[0, 1, 2, 3], [6, 7, 8, 9]], [[4, 5], [10, 11]]]


def test_parts_follow_a_transpose_behind_the_concatenation(build: Build) -> None:
    model = build(
        "c = Concat<axis=1>(a, b) y = Transpose<perm=[0,2,1]>(c)",
        inputs="float[N,4,5] a, float[N,2,5] b",
        outputs="float[N,5,6] y",
    )
    assert [part.cut(np.zeros((1, 5, 6))).shape for part in output_parts(model)] == [(1, 5, 4), (1, 5, 2)]


def test_another_output_is_one_part(build: Build) -> None:
    model = build("y = Relu(x)", inputs="float[N,4] x", outputs="float[N,4] y")
    (part,) = output_parts(model)
    assert part.cut(np.zeros((2, 4))).shape == (2, 4)


def test_integer_outputs_have_no_parts(build: Build) -> None:
    model = build("y = Relu(x) i = ArgMax<axis=1>(x)", inputs="float[N,4] x", outputs="float[N,4] y, int64[N,1] i")
    assert [part.output for part in output_parts(model)] == ["y"]
