"""Folding passes: the layer answers what the layer and its followers answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.passes.fold_affine import fold_affine
from edgeai_converters.graph.passes.fold_batch_norm import fold_batch_norm
from edgeai_converters.graph.passes.fold_constants import fold_constants
from edgeai_converters.graph.passes.fold_shape_arithmetic import fold_shape_arithmetic

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]

_NORM = {"g": (4,), "b": (4,), "m": (4,), "v": np.array([0.5, 1.0, 2.0, 3.0], np.float32)}
_LAYERS = {
    "conv without bias": ("y = Conv(x, w)", {"w": (4, 3, 3, 3)}),
    "conv with bias": ("y = Conv(x, w, c)", {"w": (4, 3, 3, 3), "c": (4,)}),
    "depthwise conv": ("y = Conv<group = 3>(x, w)", {"w": (3, 1, 3, 3)}),
    "transposed conv": ("y = ConvTranspose(x, w, c)", {"w": (3, 4, 3, 3), "c": (4,)}),
}


@pytest.mark.parametrize("layer", ["conv without bias", "conv with bias", "transposed conv"])
def test_batch_norm_vanishes_into_the_layer_before_it(build: Build, apply: Apply, layer: str) -> None:
    body, constants = _LAYERS[layer]
    model = build(
        f"{body} z = BatchNormalization<epsilon = 0.01>(y, g, b, m, v)",
        inputs="float[N,3,8,8] x",
        outputs="float[N,4,h,w_] z",
        **constants,
        **_NORM,
    )
    counts, changed = apply(fold_batch_norm, model)
    assert changed
    assert counts == {body.split("= ")[1].split("(")[0]: 1}


def test_batch_norm_folds_into_a_transposed_conv_with_groups(build: Build, apply: Apply) -> None:
    model = build(
        "y = ConvTranspose<group = 2>(x, w) z = BatchNormalization(y, g, b, m, v)",
        inputs="float[N,6,4,4] x",
        outputs="float[N,4,h,k] z",
        w=(6, 2, 3, 3),
        **_NORM,
    )
    assert apply(fold_batch_norm, model) == ({"ConvTranspose": 1}, True)


def test_batch_norm_folds_into_gemm(build: Build, apply: Apply) -> None:
    model = build(
        "y = Gemm<transB = 1>(x, w, c) z = BatchNormalization(y, g, b, m, v)",
        inputs="float[N,5] x",
        outputs="float[N,4] z",
        w=(4, 5),
        c=(4,),
        **_NORM,
    )
    assert apply(fold_batch_norm, model) == ({"Gemm": 1}, True)


def test_batch_norm_alone_becomes_mul_and_add(build: Build, apply: Apply) -> None:
    model = build(
        "z = BatchNormalization(x, g, b, m, v)", inputs="float[N,4,2,2] x", outputs="float[N,4,2,2] z", **_NORM
    )
    assert apply(fold_batch_norm, model) == ({"Mul": 1, "Add": 1}, True)


def test_batch_norm_behind_a_conv_read_twice_does_not_change_the_other_reader(build: Build, apply: Apply) -> None:
    model = build(
        "y = Conv(x, w) n = BatchNormalization(y, g, b, m, v) z = Add(y, n)",
        inputs="float[N,3,4,4] x",
        outputs="float[N,4,h,k] z",
        w=(4, 3, 1, 1),
        **_NORM,
    )
    assert apply(fold_batch_norm, model) == ({"Conv": 1, "Mul": 1, "Add": 2}, True)


def test_a_weight_shared_by_two_convs_is_scaled_for_one_only(build: Build, apply: Apply) -> None:
    model = build(
        "y = Conv(x, w) n = BatchNormalization(y, g, b, m, v) u = Conv(x, w) z = Add(u, n)",
        inputs="float[N,3,4,4] x",
        outputs="float[N,4,h,k] z",
        w=(4, 3, 1, 1),
        **_NORM,
    )
    assert apply(fold_batch_norm, model) == ({"Conv": 2, "Add": 1}, True)


@pytest.mark.parametrize("operator", ["Mul(y, k)", "Mul(k, y)", "Div(y, k)", "Add(k, y)", "Sub(y, k)"])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 1), (1,), ()])
def test_constant_arithmetic_per_channel_vanishes_into_the_conv(
    build: Build, apply: Apply, operator: str, shape: tuple[int, ...]
) -> None:
    body, constants = _LAYERS["depthwise conv"]
    k = np.linspace(0.5, 2.0, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    model = build(f"{body} z = {operator}", inputs="float[N,3,8,8] x", outputs="float[N,3,h,q] z", k=k, **constants)
    assert apply(fold_affine, model) == ({"Conv": 1}, True)


@pytest.mark.parametrize("operator", ["Sub(k, y)", "Div(k, y)"])
def test_a_constant_on_the_left_of_sub_and_div_stays(build: Build, apply: Apply, operator: str) -> None:
    model = build(
        f"y = Conv(x, w) z = {operator}",
        inputs="float[N,3,8,8] x",
        outputs="float[N,3,h,q] z",
        w=(3, 3, 1, 1),
        k=(3, 1, 1),
    )
    assert apply(fold_affine, model)[1] is False


def test_a_constant_along_the_width_stays(build: Build, apply: Apply) -> None:
    model = build(
        "y = Conv(x, w) z = Mul(y, k)", inputs="float[N,3,8,3] x", outputs="float[N,3,8,3] z", w=(3, 3, 1, 1), k=(3,)
    )
    assert apply(fold_affine, model)[1] is False


def test_what_depends_on_constants_only_is_computed(build: Build, apply: Apply) -> None:
    model = build(
        "a = Mul(k, k) b = Sqrt(a) c = Transpose<perm = [1, 0]>(b) z = Add(x, c)",
        inputs="float[N,2,3] x",
        outputs="float[N,2,3] z",
        k=(3, 2),
    )
    assert apply(fold_constants, model) == ({"Add": 1}, True)


def test_a_stored_constant_stays_as_it_is_stored(build: Build, apply: Apply) -> None:
    model = build(
        "w = DequantizeLinear(q, s) z = Mul(x, w)",
        inputs="float[N,2] x",
        outputs="float[N,2] z",
        q=np.array([3, -5], np.int8),
        s=np.array(0.5, np.float32),
    )
    assert apply(fold_constants, model)[1] is False


def test_a_constant_is_not_blown_up(build: Build, apply: Apply) -> None:
    model = build(
        "e = Expand(k, shape) z = Mul(x, e)",
        inputs="float[N,1] x",
        outputs="float[N,200000] z",
        k=(1,),
        shape=np.array([200_000], np.int64),
    )
    assert apply(fold_constants, model)[1] is False


def test_a_shape_computed_from_the_batch_becomes_constant(build: Build, apply: Apply) -> None:
    model = build(
        "s = Shape(x) n = Gather(s, zero) nn = Unsqueeze(n, zeros) t = Concat<axis = 0>(nn, rest) z = Reshape(x, t)",
        inputs="float[N,3,4] x",
        outputs="float[N,12] z",
        zero=np.array(0, np.int64),
        zeros=np.array([0], np.int64),
        rest=np.array([-1], np.int64),
    )
    apply(fold_shape_arithmetic, model)
    reshape = next(node for node in model.graph if node.op_type == "Reshape")
    assert reshape.inputs[1].const_value.numpy().tolist() == [-1, 12]
