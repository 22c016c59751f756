"""Zeros and clusters among weights: chosen well, kept by quantization, and counted on the file that is written."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.clustering import best_levels, cluster_values, cluster_weights
from edgeai_converters.prune.sparsity import sparse_matrix, sparsify
from edgeai_converters.prune.weight_values import describe_values, packed_size
from edgeai_converters.quantize.affine import quantize_array, weight_quantization
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_runtime.errors import DataError, UsageError

LEAST = 16


def _network() -> ir.Model:
    text = """<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,8,8] x) => (float[N,4] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a) g = GlobalAveragePool(ar) f = Flatten(g)
        h = Gemm <transB = 1> (f, w2) hr = Relu(h) y = MatMul(hr, w3) }"""
    random = np.random.default_rng(0)
    sizes = {"w1": (16, 3, 3, 3), "b1": (16,), "w2": (128, 16), "w3": (128, 12)}
    proto = onnx.parser.parse_model(text.replace("[N,4]", "[N,12]"))
    for name, size in sizes.items():
        array = random.normal(size=size).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return prepare_graph(proto)


def _array(model: ir.Model, name: str) -> NDArray[np.float32]:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return np.asarray(tensor.numpy())


def _loss(points: NDArray[np.float64], weights: NDArray[np.float64], levels: NDArray[np.float64]) -> float:
    return float((weights * np.square(points - levels)).sum())


@pytest.mark.parametrize("clusters", [1, 2, 3, 4])
def test_no_other_levels_are_better(clusters: int) -> None:
    random = np.random.default_rng(clusters)
    points, weights = np.sort(random.normal(size=9)), random.uniform(0.1, 2, size=9)
    losses = []
    for cuts in itertools.combinations(range(1, 9), clusters - 1):
        parts = np.split(np.arange(9), list(cuts))
        levels = np.concatenate([np.full(len(p), np.average(points[p], weights=weights[p])) for p in parts])
        losses.append(_loss(points, weights, levels))
    assert _loss(points, weights, best_levels(points, weights, clusters)) == pytest.approx(min(losses))


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_a_weight_takes_so_many_values_and_stays_near(dtype: type[np.generic]) -> None:
    array = (np.random.default_rng(0).normal(size=(64, 64)) * 30).astype(dtype)
    found = cluster_values(array, clusters=16)
    assert found.dtype == dtype
    assert len(np.unique(found)) == 16
    # Sixteen best levels of a normal distribution lose one percent of its energy (Max 1960, table I: 0.0095).
    error = np.asarray(array, np.float64) - np.asarray(found, np.float64)
    assert 0.008 < np.square(error).mean() / np.asarray(array, np.float64).var() < 0.0105


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_zeros_stay_zero_when_weights_are_clustered(dtype: type[np.generic]) -> None:
    array = (np.random.default_rng(0).normal(size=(64, 64)) * 30 + 20).astype(dtype)
    array[:, ::2] = 0
    assert (cluster_values(array, clusters=8)[:, ::2] == 0).all()
    assert (cluster_values(array, clusters=2, keep_zeros=False)[:, ::2] != 0).any()


def test_a_single_zero_draws_no_other_weight_to_it() -> None:
    array = np.random.default_rng(0).uniform(50, 100, size=(32, 32)).astype(np.float32)
    array[0, 0] = 0  # every other weight is nearer to a level of its own
    assert ((cluster_values(array, clusters=4) == 0) == (array == 0)).all()


def test_few_values_are_left_as_they_are() -> None:
    array = np.asarray([[1.5, -2.25, 1.5, 0.0]], np.float32)
    np.testing.assert_array_equal(cluster_values(array, clusters=3), array)


def test_stored_integers_are_clustered_as_integers() -> None:
    stored, _ = store_int8_weights(_network(), format="tflite")
    model, changed = cluster_weights(stored, clusters=8, least_elements=LEAST)
    found = {each.weight: each.distinct for each in describe_values(model, least_elements=LEAST)}
    assert changed
    assert len(found) == 3
    assert all(distinct <= 8 for distinct in found.values())
    kinds = [value.dtype for value in model.graph.initializers.values() if len(value.shape or ()) >= 2]
    assert kinds.count(ir.DataType.INT8) == 2


def test_clusters_of_floats_do_not_survive_scales_per_channel() -> None:
    """What the documentation says: cluster integers, not the floats they come from."""
    model, _ = cluster_weights(_network(), clusters=8, least_elements=LEAST)
    array = _array(model, "w2")
    assert len(np.unique(array)) == 8
    assert len(np.unique(quantize_array(array, weight_quantization(array, axis=0)))) > 8


@pytest.mark.parametrize("axis", [0, 1, None])
def test_zeros_stay_zero_when_weights_are_quantized(axis: int | None) -> None:
    model, _ = sparsify(_network(), share=0.7, least_elements=LEAST)
    array = _array(model, "w2")
    stored = quantize_array(array, weight_quantization(array, axis=axis))
    assert (array == 0).mean() == pytest.approx(0.7, abs=0.01)
    assert (stored[array == 0] == 0).all()


def test_the_smallest_weights_become_zero() -> None:
    before = _array(_network(), "w2")
    after = _array(sparsify(_network(), share=0.4, least_elements=LEAST)[0], "w2")
    assert np.abs(before[after == 0]).max() <= np.abs(before[after != 0]).min()
    np.testing.assert_array_equal(after[after != 0], before[after != 0])


def test_two_of_four_neighbours_along_the_inputs_stay() -> None:
    model, _ = sparsify(_network(), pattern=(2, 4), least_elements=LEAST)
    assert ((_array(model, "w2").reshape(128, -1, 4) != 0).sum(axis=2) == 2).all()
    assert ((_array(model, "w3").T.reshape(12, -1, 4) != 0).sum(axis=2) == 2).all()
    assert (_array(model, "w1") != 0).all()  # 27 inputs make no whole groups


def _layer(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A layer whose inputs say much the same, so that weights can stand in for each other."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(2000, 8)) @ random.normal(size=(8, 32)) + 0.3 * random.normal(size=(2000, 32))
    return random.normal(size=(24, 32)), inputs.T @ inputs / len(inputs)


def _output_error(matrix: NDArray[np.float64], other: NDArray[np.float64], hessian: NDArray[np.float64]) -> float:
    error = matrix - other
    return float(np.sqrt(np.sum((error @ hessian) * error) / np.sum((matrix @ hessian) * matrix)))


@pytest.mark.parametrize(("share", "pattern"), [(0.5, None), (0.75, None), (None, (2, 4))])
def test_the_other_weights_make_up_for_zeros(share: float | None, pattern: tuple[int, int] | None) -> None:
    matrix, hessian = _layer(0)
    plain = sparse_matrix(matrix, None, share=share, pattern=pattern)
    made_up = sparse_matrix(matrix, hessian, share=share, pattern=pattern)
    assert (plain == 0).sum() == (made_up == 0).sum() == round((share or 0.5) * matrix.size)
    assert _output_error(matrix, made_up, hessian) < 0.7 * _output_error(matrix, plain, hessian)


def test_samples_that_say_nothing_leave_magnitude_to_decide() -> None:
    matrix, _ = _layer(1)
    plain = sparse_matrix(matrix, None, share=0.5, pattern=None)
    np.testing.assert_array_equal(sparse_matrix(matrix, np.zeros((32, 32)), share=0.5, pattern=None), plain)


def test_a_file_with_zeros_packs_smaller(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    array = random.integers(-127, 128, size=4000).astype(np.int8)
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "a.bin").write_bytes(array.tobytes())
    array[random.permutation(4000)[:2000]] = 0
    (tmp_path / "sparse.bin").write_bytes(array.tobytes())
    assert packed_size(tmp_path / "whole") == pytest.approx(4000, rel=0.01)
    assert packed_size(tmp_path / "sparse.bin") < 3000


def test_what_can_not_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file or folder"):
        packed_size(tmp_path / "gone")
    with pytest.raises(UsageError, match="Say either"):
        sparsify(_network(), share=0.5, pattern=(2, 4))
    with pytest.raises(UsageError, match="between 0 and 1"):
        sparsify(_network(), share=1.0)
    with pytest.raises(UsageError, match="0 < n < m"):
        sparsify(_network(), pattern=(4, 4))
    with pytest.raises(UsageError, match="two clusters"):
        cluster_weights(_network(), clusters=1)
    with pytest.raises(DataError, match="no calibration samples"):
        sparsify(_network(), share=0.5, batches=[])
