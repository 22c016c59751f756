"""Weights in int4 groups: the grid, which weights get there, and what GPTQ does for a layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeai_converters.graph.opset import can_raise_opset
from edgeai_converters.quantize.dense_weights import dense_weights
from edgeai_converters.quantize.gptq import gptq_round
from edgeai_converters.quantize.integer_groups import GroupedWeight, group_weights, round_to_groups
from edgeai_converters.quantize.store_int4_weights import INT4_SUPPORT, store_int4_weights, worth_int4
from edgeai_runtime.errors import UsageError

Build = Callable[..., ir.Model]


def _random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _dense(build: Build, *, inputs: int = 64, outputs: int = 128, node: str = "y = MatMul(x, w)") -> ir.Model:
    return build(node, inputs=f"float[N,{inputs}] x", outputs=f"float[N,{outputs}] y", w=_random(inputs, outputs))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), size=st.sampled_from([1e-3, 1.0, 1e3]), group=st.sampled_from([16, 32, 64]))
def test_weights_on_the_grid_are_found_again_exactly(seed: int, size: float, group: int) -> None:
    random = np.random.default_rng(seed)
    reach = random.integers(1, 9, size=(8, 64 // group)).repeat(group, axis=1)
    integers = np.clip(random.integers(-8, 8, size=(8, 64)), -reach, reach - 1).astype(np.int8)
    scales = group_weights((random.normal(size=(8, 64)) * size).astype(np.float32), group=group).scales
    grid = GroupedWeight(integers=integers, scales=scales).real
    np.testing.assert_array_equal(group_weights(grid, group=group).real, grid)


def test_the_grid_loses_less_than_one_that_spans_the_largest_weight() -> None:
    matrix = _random(64, 256)
    spanning = (np.abs(matrix).reshape(64, -1, 32).max(axis=2) / 7).astype(np.float32)

    def loss(grouped: GroupedWeight) -> float:
        return float(np.square(matrix - grouped.real).sum())

    assert loss(group_weights(matrix, group=32)) < 0.9 * loss(round_to_groups(matrix, spanning))


@pytest.mark.parametrize(
    "matrix", [np.zeros((4, 32), np.float32), np.full((4, 32), 1e-30, np.float32)], ids=["0", "tiny"]
)
def test_a_group_of_nothing_has_a_scale_that_engines_accept(matrix: np.ndarray) -> None:
    grouped = group_weights(matrix, group=32)
    assert (grouped.scales >= 2.0**-14).all()
    assert not grouped.integers.any()


def test_scales_are_exact_in_float16_and_bfloat16() -> None:
    scales = group_weights(_random(64, 256) * 0.05, group=32).scales
    np.testing.assert_array_equal(scales.astype(np.float16).astype(np.float32), scales)
    assert not (scales.view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize(
    ("node", "weight", "axis"),
    [
        ("y = MatMul(x, w)", (64, 128), 0),
        ("y = Gemm(x, w)", (64, 128), 0),
        ("y = Gemm <transB = 1> (x, w)", (128, 64), 1),
        ("y = Gemm <alpha = 2.0> (x, w)", (64, 128), None),
        ("t = MatMul(x, w)\n u = MatMul(t, v)\n y = MatMul(u, w)", (64, 128), 0),
    ],
    ids=["matmul", "gemm", "transposed", "scaled", "read twice"],
)
def test_which_axis_of_a_weight_is_summed_over(
    build: Build, node: str, weight: tuple[int, int], axis: int | None
) -> None:
    constants = {"v": _random(128, 64)} if "v" in node else {}
    model = build(node, inputs="float[N,64] x", outputs="float[N,128] y", w=_random(*weight), **constants)
    found = [each for each in dense_weights(model, least_elements=1, group=32) if each.value.name == "w"]
    assert [each.input_axis for each in found] == ([] if axis is None else [axis])
    assert [each.matrix.shape for each in found] == [(128, 64)] * len(found)


def test_a_weight_that_something_else_reads_stays_float(build: Build) -> None:
    model = build(
        "t = MatMul(x, w)\n s = ReduceSum <keepdims = 0> (w, axes)\n y = Add(t, s)",
        inputs="float[N,64] x",
        outputs="float[N,128] y",
        w=_random(64, 128),
        axes=np.array([0]),
    )
    assert not list(dense_weights(model, least_elements=1, group=32))


def test_inputs_that_make_no_whole_groups_stay_float(build: Build) -> None:
    model = _dense(build, inputs=80)
    assert not list(dense_weights(model, least_elements=1, group=32))
    assert list(dense_weights(model, least_elements=1, group=16))
    assert list(dense_weights(model, least_elements=1, group=0))


def test_the_stored_graph_is_valid_and_the_given_one_unchanged(build: Build) -> None:
    model = _dense(build)
    before = ir.to_proto(model).SerializeToString()
    stored, changed = store_int4_weights(model, format="tflite")
    proto = ir.to_proto(stored)
    onnx.checker.check_model(proto, full_check=True)
    assert changed
    assert ir.to_proto(model).SerializeToString() == before
    assert {value.dtype for value in stored.graph.initializers.values()} == {ir.DataType.INT4, ir.DataType.FLOAT}
    assert stored.graph.opset_imports[""] == 21


def test_a_group_size_without_a_kernel_is_refused_with_those_that_have_one(build: Build) -> None:
    with pytest.raises(UsageError, match="tflite has no int4 kernel for groups of 48"):
        store_int4_weights(_dense(build), format="tflite", group=48)


def test_small_weights_stay_float_where_the_kernel_is_slower(build: Build) -> None:
    model = _dense(build)
    assert store_int4_weights(model, format="onnx")[1] is False
    assert INT4_SUPPORT["onnx"].least_elements > 64 * 128


def test_int4_is_worth_trying_when_most_constants_would_become_int4(build: Build) -> None:
    model = _dense(build)
    assert worth_int4(model, format="tflite")
    assert not worth_int4(model, format="onnx")
    wide = build(
        "t = MatMul(x, w)\n y = Add(t, b)",
        inputs="float[128,64] x",
        outputs="float[128,128] y",
        w=_random(64, 128),
        b=_random(128, 128),
    )
    assert not worth_int4(wide, format="tflite")


def test_an_operator_that_means_something_else_at_the_newer_opset_keeps_the_graph_as_it_is(build: Build) -> None:
    model = build(
        "t = MatMul(x, w)\n y = GroupNormalization <num_groups = 2> (t, s, s)",
        inputs="float[1,64,64] x",
        outputs="float[1,64,128] y",
        w=_random(64, 128),
        s=np.ones(2, np.float32),
    )
    assert can_raise_opset(model)
    assert not can_raise_opset(model, 21)
    assert store_int4_weights(model, format="tflite")[1] is False


@pytest.mark.parametrize("group", [0, 32, 48])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_gptq_halves_the_output_error_for_inputs_that_hang_together(group: int, bits: int) -> None:
    matrix, mix = _random(32, 96), _random(12, 96, seed=1)

    def draw(seed: int) -> np.ndarray:
        return _random(400, 12, seed=seed) @ mix + _random(400, 96, seed=seed + 1) / 10

    x, fresh = draw(2), draw(4)
    rounded = gptq_round(matrix, 2.0 * (x.T @ x).astype(np.float64), bits=bits, group=group, columns=32)
    nearest = group_weights(matrix, group=group or 96, bits=bits)

    def error(grouped: GroupedWeight) -> float:
        return float(np.linalg.norm(fresh @ (matrix - grouped.real).T))

    assert error(rounded) < 0.5 * error(nearest)
    assert np.abs(rounded.integers.astype(int)).max() <= 2 ** (bits - 1)


@pytest.mark.parametrize(
    "hessian",
    [np.zeros((64, 64)), np.full((64, 64), np.nan), np.diag(np.arange(64) % 2).astype(float)],
    ids=["no samples", "not a number", "dead inputs"],
)
def test_gptq_is_no_worse_than_the_nearest_when_samples_say_little(hessian: np.ndarray) -> None:
    matrix = _random(16, 64)
    rounded = gptq_round(matrix, hessian, group=32)
    assert np.isfinite(rounded.real).all()
    assert np.abs(matrix - rounded.real).max() < np.abs(matrix).max() / 4
