"""Passes that bring operators to one form, or remove them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.passes.pad_explicitly import pad_explicitly
from edgeai_converters.graph.passes.remove_no_ops import remove_no_ops
from edgeai_converters.graph.passes.sink_transposes import sink_transposes
from edgeai_converters.graph.passes.tidy import merge_equal_constants, remove_dead_nodes, separate_biases
from edgeai_converters.graph.passes.write_gemm import write_gemm
from edgeai_converters.graph.passes.write_global_pool import write_global_pool
from edgeai_converters.graph.passes.write_reshape import write_reshape

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]

_MAP = {"inputs": "float[N,4,6,6] x", "outputs": "float[N,c,h,w_] z"}


@pytest.mark.parametrize(
    "node",
    [
        "Identity(y)",
        "Dropout(y)",
        "Cast<to = 1>(y)",
        "Transpose<perm = [0, 1, 2, 3]>(y)",
        "Reshape(y, shape)",
        "Pad(y, nothing)",
        "Concat<axis = 1>(y)",
        "MaxPool<kernel_shape = [1, 1]>(y)",
    ],
)
def test_a_node_that_changes_nothing_is_removed(build: Build, apply: Apply, node: str) -> None:
    model = build(
        f"y = Relu(x) z = {node}", **_MAP, shape=np.array([-1, 4, 6, 6], np.int64), nothing=np.zeros(8, np.int64)
    )
    assert apply(remove_no_ops, model) == ({"Relu": 1}, True)


def test_a_node_between_an_input_and_an_output_stays(build: Build, apply: Apply) -> None:
    assert apply(remove_no_ops, build("z = Identity(x)", **_MAP)) == ({"Identity": 1}, False)


def test_a_reshape_that_changes_the_shape_stays(build: Build, apply: Apply) -> None:
    model = build(
        "z = Reshape(x, s)", inputs="float[N,4,6] x", outputs="float[N,6,4] z", s=np.array([-1, 6, 4], np.int64)
    )
    assert apply(remove_no_ops, model)[1] is False


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [6, 7])
def test_auto_pad_becomes_numbers(build: Build, apply: Apply, mode: str, stride: int, size: int) -> None:
    model = build(
        f'z = Conv<auto_pad = "{mode}", strides = [{stride}, {stride}]>(x, w)',
        inputs=f"float[N,2,{size},{size}] x",
        outputs="float[N,3,h,k] z",
        w=(3, 2, 3, 3),
    )
    assert apply(pad_explicitly, model)[1]
    assert "auto_pad" not in next(iter(model.graph)).attributes


def test_zero_padding_moves_into_the_conv(build: Build, apply: Apply) -> None:
    model = build(
        "p = Pad(x, pads) z = Conv<pads = [1, 0, 0, 2]>(p, w)",
        **_MAP,
        pads=np.array([0, 0, 1, 2, 0, 0, 3, 0], np.int64),
        w=(3, 4, 3, 3),
    )
    assert apply(pad_explicitly, model) == ({"Conv": 1}, True)


def test_zero_padding_before_a_mean_is_counted(build: Build, apply: Apply) -> None:
    model = build(
        "p = Pad(x, pads) z = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(p)",
        **_MAP,
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    )
    assert apply(pad_explicitly, model) == ({"AveragePool": 1}, True)


@pytest.mark.parametrize(
    ("filling", "pads", "layer"),
    [
        (1.0, [0, 0, 1, 1, 0, 0, 1, 1], "Conv(p, w)"),
        (0.0, [0, 0, 1, 1, 0, 0, 1, 1], "MaxPool<kernel_shape = [3, 3]>(p)"),
        (0.0, [0, 0, -1, 0, 0, 0, 0, 0], "Conv(p, w)"),
    ],
    ids=["not zeros", "max pool", "negative"],
)
def test_padding_that_a_layer_can_not_express_stays(
    build: Build, apply: Apply, filling: float, pads: list[int], layer: str
) -> None:
    model = build(
        f"p = Pad(x, pads, f) z = {layer}",
        **_MAP,
        pads=np.array(pads, np.int64),
        f=np.array(filling, np.float32),
        w=(3, 4, 3, 3),
    )
    assert apply(pad_explicitly, model)[1] is False


@pytest.mark.parametrize("bias", [(5,), (1, 5)])
def test_matmul_and_add_become_gemm(build: Build, apply: Apply, bias: tuple[int, ...]) -> None:
    model = build("y = MatMul(x, w) z = Add(y, b)", inputs="float[N,3] x", outputs="float[N,5] z", w=(3, 5), b=bias)
    assert apply(write_gemm, model) == ({"Gemm": 1}, True)


def test_matmul_of_three_dimensions_stays(build: Build, apply: Apply) -> None:
    model = build("z = MatMul(x, w)", inputs="float[N,2,3] x", outputs="float[N,2,5] z", w=(3, 5))
    assert apply(write_gemm, model)[1] is False


def test_factors_of_gemm_go_into_its_constants(build: Build, apply: Apply) -> None:
    model = build(
        "z = Gemm<alpha = 0.5, beta = 2.0>(x, w, b)", inputs="float[N,3] x", outputs="float[N,5] z", w=(3, 5), b=(5,)
    )
    apply(write_gemm, model)
    assert not next(iter(model.graph)).attributes


@pytest.mark.parametrize(
    ("node", "counts"),
    [
        ("ReduceMean<keepdims = 1>(x, axes)", {"GlobalAveragePool": 1}),
        ("ReduceMean<keepdims = 0>(x, axes)", {"GlobalAveragePool": 1, "Reshape": 1}),
        ("AveragePool<kernel_shape = [6, 6]>(x)", {"GlobalAveragePool": 1}),
        ("AveragePool<kernel_shape = [5, 5]>(x)", {"AveragePool": 1}),
    ],
)
def test_the_mean_of_the_whole_map_is_a_global_pool(
    build: Build, apply: Apply, node: str, counts: dict[str, int]
) -> None:
    rank = 2 if "keepdims = 0" in node else 4
    dims = ",".join(["N", "c", "h", "k"][:rank])
    model = build(
        f"z = {node}", inputs="float[N,4,6,6] x", outputs=f"float[{dims}] z", axes=np.array([-1, 2], np.int64)
    )
    assert apply(write_global_pool, model)[0] == counts


@pytest.mark.parametrize(
    "node", ["Flatten(y)", "Squeeze(y, last)", "Unsqueeze(y, last)", "Transpose<perm = [0, 3, 2, 1]>(y)"]
)
def test_changes_of_shape_become_reshape(build: Build, apply: Apply, node: str) -> None:
    rank = {"F": 2, "S": 3, "U": 5, "T": 4}[node[0]]
    dims = ",".join("abcde"[:rank])
    model = build(
        f"y = Relu(x) z = {node}", inputs="float[N,4,1,1] x", outputs=f"float[{dims}] z", last=np.array([3], np.int64)
    )
    assert apply(write_reshape, model) == ({"Relu": 1, "Reshape": 1}, True)


def test_of_two_reshapes_the_second_is_enough(build: Build, apply: Apply) -> None:
    model = build(
        "a = Relu(x) b = Reshape(a, s) z = Reshape(b, t)",
        inputs="float[N,4,6] x",
        outputs="float[N,8,3] z",
        s=np.array([-1, 24], np.int64),
        t=np.array([-1, 8, 3], np.int64),
    )
    assert apply(write_reshape, model) == ({"Relu": 1, "Reshape": 1}, True)


def test_an_image_of_one_channel_is_transposed_at_the_boundary(build: Build, apply: Apply) -> None:
    model = build(
        "y = Reshape(x, s) z = Conv(y, w)",
        inputs="float[N,9,5,1] x",
        outputs="float[N,2,h,k] z",
        s=np.array([-1, 1, 9, 5], np.int64),
        w=(2, 1, 3, 3),
    )
    assert apply(write_reshape, model) == ({"Transpose": 1, "Conv": 1}, True)


_TO = "Transpose<perm = [0, 3, 1, 2]>"
_FROM = "Transpose<perm = [0, 2, 3, 1]>"


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        (f"a = {_TO}(x) z = {_FROM}(a)", {"Identity": 0}),
        (f"a = {_TO}(x) b = Relu(a) z = {_FROM}(b)", {"Relu": 1}),
        (f"a = {_TO}(x) b = Mul(a, k) c = Add(b, s) z = {_FROM}(c)", {"Mul": 1, "Add": 1}),
        (f"a = {_TO}(x) b = Relu(x) c = {_TO}(b) d = Add(a, c) z = {_FROM}(d)", {"Relu": 1, "Add": 1}),
        (f"a = {_TO}(x) b = Relu(x) c = {_TO}(b) d = Concat<axis = 1>(a, c) z = {_FROM}(d)", {"Relu": 1, "Concat": 1}),
        (f"a = {_TO}(x) b = Softmax<axis = 1>(a) z = {_FROM}(b)", {"Softmax": 1}),
        (f"a = {_TO}(x) b = Pad(a, p) z = {_FROM}(b)", {"Pad": 1}),
        (f"a = {_TO}(x) b = ReduceMean<keepdims = 1>(a, axes) z = {_FROM}(b)", {"ReduceMean": 1}),
        (f"a = {_FROM}(x) z = ReduceMean<keepdims = 0>(a, axes)", {"ReduceMean": 1}),
    ],
    ids=["pair", "unary", "constants", "two inputs", "concat", "softmax", "pad", "mean", "mean drops axes"],
)
def test_transposes_meet_their_inverse_and_vanish(
    build: Build, apply: Apply, body: str, counts: dict[str, int]
) -> None:
    def until_done(model: Any) -> tuple[Any, bool]:
        changes = [sink_transposes(model)[1] | remove_no_ops(model)[1] for _ in range(12)]
        return model, any(changes)

    dims = "a,b" if "keepdims = 0" in body else "a,b,c,d"
    model = build(
        body if "Identity" not in counts else f"x1 = Relu(x) {body.replace('(x)', '(x1)')}",
        inputs="float[N,5,6,3] x",
        outputs=f"float[{dims}] z",
        k=(3, 1, 1),
        s=(5, 6),
        p=np.array([0, 1, 2, 0, 0, 0, 1, 3], np.int64),
        axes=np.array([1, 2], np.int64),
    )
    found, changed = apply(until_done, model)
    assert changed
    assert found == ({"Relu": 1} if "Identity" in counts else counts)


def test_a_transpose_read_twice_is_not_doubled(build: Build, apply: Apply) -> None:
    model = build(
        f"a = {_TO}(x) b = Relu(a) c = Sigmoid(a) z = Add(b, c)",
        inputs="float[N,5,6,3] x",
        outputs="float[N,3,5,6] z",
    )
    assert apply(sink_transposes, model)[0]["Transpose"] == 1


def test_dead_nodes_and_their_constants_go(build: Build, apply: Apply) -> None:
    model = build("z = Relu(x) dead = Mul(x, k)", **_MAP, k=(6,))
    assert apply(remove_dead_nodes, model) == ({"Relu": 1}, True)
    assert not model.graph.initializers


def test_equal_large_constants_are_one_and_small_ones_stay(build: Build, apply: Apply) -> None:
    big, small = np.ones((4, 100), np.float32), np.ones(100, np.float32)
    model = build(
        "a = Gemm(x, w1, b1) b = Gemm(x, w2, b2) z = Add(a, b)",
        inputs="float[N,4] x",
        outputs="float[N,100] z",
        w1=big,
        w2=big,
        b1=small,
        b2=small,
    )
    apply(merge_equal_constants, model)
    first, second = (node for node in model.graph if node.op_type == "Gemm")
    assert first.inputs[1] is second.inputs[1]
    assert first.inputs[2] is not second.inputs[2]


def test_every_layer_has_a_bias_of_its_own(build: Build, apply: Apply) -> None:
    model = build(
        "a = Gemm(x, w, b) c = Gemm(a, w, b) z = Relu(c)",
        inputs="float[N,4] x",
        outputs="float[N,4] z",
        w=(4, 4),
        b=(4,),
    )
    apply(separate_biases, model)
    first, second = (node for node in model.graph if node.op_type == "Gemm")
    assert first.inputs[2] is not second.inputs[2]
