"""Free sizes keep their names through reshapes, and shape arithmetic on them ends in constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.passes.fold_shape_arithmetic import fold_shape_arithmetic
from edgeai_converters.graph.shapes import shape_of
from edgeai_converters.graph.sizes import product, quotient

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]


def _ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [([2, 3], 6), (["n", 4], "4*n"), (["4*n", 10], "40*n"), (["n", "m", 1], "m*n"), ([2, None], None), ([], 1)],
)
def test_a_product_of_sizes(sizes: list[Any], wanted: Any) -> None:
    assert product(sizes) == wanted


@pytest.mark.parametrize(
    ("whole", "part", "wanted"),
    [
        (12, 4, 3),
        ("40*n", "4*n", 10),
        ("40*n", 8, "5*n"),
        ("n", "n", 1),
        ("n", 2, None),
        (4, "n", None),
        ("n", None, None),
    ],
)
def test_a_quotient_of_sizes(whole: Any, part: Any, wanted: Any) -> None:
    assert quotient(whole, part) == wanted


def test_a_reshaped_batch_is_still_the_batch(build: Build) -> None:
    model = build(
        "y = Reshape(x, split) m = Reshape(y, merged) r = Relu(m) b = Reshape(r, back) z = Add(b, x)",
        inputs="float[N,10,32] x",
        outputs="float[k,10,32] z",
        split=_ints(-1, 10, 4, 8),
        merged=_ints(-1, 8),
        back=_ints(-1, 10, 32),
    )
    shapes = {node.outputs[0].name: shape_of(node.outputs[0]) for node in model.graph}
    assert shapes["y"] == ("N", 10, 4, 8)
    assert shapes["m"] == ("40*N", 8)
    assert shapes["z"] == ("N", 10, 32)


def test_a_product_of_the_batch_in_a_target_becomes_a_constant(build: Build, apply: Apply) -> None:
    """As tf2onnx writes the merged batch axes of an Einsum."""
    model = build(
        "s = Shape(x) b = Gather(s, two) p = ReduceProd<keepdims = 1>(b) d = Gather(s, last) "
        "t = Concat<axis = 0>(p, rest, d) y = Reshape(x, t) z = Relu(y)",
        inputs="float[N,4,10,1,8] x",
        outputs="float[a,b,c] z",
        two=_ints(0, 1),
        last=_ints(4),
        rest=_ints(-1),
    )
    assert apply(fold_shape_arithmetic, model)[1]
    reshape = next(node for node in model.graph if node.op_type == "Reshape")
    assert reshape.inputs[1].const_value.numpy().tolist() == [-1, 10, 8]


def test_the_larger_of_two_equal_batches_is_the_batch(build: Build, apply: Apply) -> None:
    model = build(
        "s = Shape<end = 2>(x) r = Shape<end = 2>(y) m = Max(s, r) t = Concat<axis = 0>(m, rest) "
        "w = MatMul(x, y) z = Reshape(w, t)",
        inputs="float[N,4,3,8] x, float[N,4,8,6] y",
        outputs="float[a,b,c,d] z",
        rest=_ints(6, 3),
    )
    assert apply(fold_shape_arithmetic, model)[1]
    reshape = next(node for node in model.graph if node.op_type == "Reshape")
    assert reshape.inputs[1].const_value.numpy().tolist() == [-1, 4, 6, 3]
