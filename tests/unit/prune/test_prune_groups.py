"""What is protected, and what the cut says when it is asked for the impossible."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.groups import find_groups
from edgeai_converters.prune.rules_reshape import stretches
from edgeai_converters.prune.slice import slice_channels
from edgeai_runtime.errors import UsageError


def _chain(between: str, *, outputs: str = "float[N,2] y", width: int = 4) -> ir.Model:
    """A dense layer that makes `a`, something that makes `b` of it, and a dense layer that reads `b`."""
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,3] x) => ({outputs}) {{'
    proto = onnx.parser.parse_model(f"{text} a = MatMul(x, w1) {between} y = MatMul(b, w2) }}")
    random = np.random.default_rng(0)
    for name, size in (("w1", (3, 4)), ("w2", (width, 2))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(random.normal(size=size).astype(np.float32), name))
    return prepare_graph(proto)


def _reason(model: ir.Model) -> str:
    return next(group.reason for group in find_groups(model) if group.id == "w1")


def test_a_chain_can_be_cut() -> None:
    model = _chain("b = Relu(a)")
    group = next(group for group in find_groups(model) if group.id == "w1")
    assert [(member.value, member.axis, member.kind) for member in group.members] == [
        ("w1", 1, "produced"),
        ("a", 1, "activation"),
        ("b", 1, "activation"),
        ("w2", 0, "read"),
    ]
    smaller, changed = slice_channels(model, {"w1": [1, 3]})
    assert changed
    kept = smaller.graph.initializers["w1"].const_value
    assert kept is not None
    before = model.graph.initializers["w1"].const_value
    assert before is not None
    assert np.array_equal(kept.numpy(), before.numpy()[:, [0, 2]])


@pytest.mark.parametrize(
    ("between", "outputs", "reason"),
    [
        ("b = Softmax(a)", "float[N,2] y", "Softmax .* works along it"),
        ("i = ArgMax(a) j = Cast <to = 1> (i) b = Mul(a, j)", "float[N,2] y", "no rule for ArgMax"),
        ("b = Relu(a)", "float[N,2] y, float[N,4] b", "output 'b' has it"),
        ("m = ReduceMean(a) b = Sub(a, m)", "float[N,2] y", "ReduceMean .* is taken over it"),
        ("s = Sigmoid(a) m = ReduceSum(s) b = Sub(a, m)", "float[N,2] y", "ReduceSum .* is taken over it|adds its"),
    ],
)
def test_what_a_cut_would_change_is_protected_with_the_reason(between: str, outputs: str, reason: str) -> None:
    assert re.search(reason, _reason(_chain(between, outputs=outputs)))


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"w9": [0]}, "no channel group 'w9'"),
        ({"w1": [4]}, "has the channels 0 … 3"),
        ({"w1": [0, 1, 2, 3]}, "No channel of 'w1' would be left"),
        ({"w2": [0]}, "cannot be cut: the graph's output"),
    ],
)
def test_an_impossible_cut_is_refused(cut: dict[str, list[int]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slice_channels(_chain("b = Relu(a)"), cut)


def test_the_given_graph_is_not_changed() -> None:
    model = _chain("b = Relu(a)")
    slice_channels(model, {"w1": [0]})
    assert model.graph.initializers["w1"].shape == ir.Shape([3, 4])


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (("n", 4, 3, 3), ("n", 36), [((0,), (0,)), ((1, 2, 3), (1,))]),
        (("n", 7, 12), ("n", 7, 4, 3), [((0,), (0,)), ((1,), (1,)), ((2,), (2, 3))]),
        (("n", 6, 4), (4, 6), None),
        ((4, 6), (6, 4), [((0, 1), (0, 1))]),
        ((1, 8, 1), (8,), [((1,), (0,))]),
    ],
)
def test_shapes_are_cut_into_the_smallest_equal_stretches(
    before: tuple[int | str, ...], after: tuple[int | str, ...], found: object
) -> None:
    assert stretches(before, after) == found
