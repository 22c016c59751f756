"""Calibrated quantization in ONNX Runtime: the graph computes nearly the same, and runs in integer kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.range_choice import range_method_errors, rank_range_methods
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.spec import RANGE_METHODS, RangeMethod
from edgeai_runtime.errors import DataError

pytestmark = pytest.mark.onnxruntime

# Eight bits on both sides of five layers: about 1 % of the output's size; clipping noise adds up to 2 % more.
MOST_RELATIVE_ERROR = 0.04

NETWORK = """<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,16,16] x) => (float[N,5] y)
{
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    ar = Relu(a)
    d = Conv <pads = [1, 1, 1, 1], group = 8> (ar, w2, b2)
    dc = Clip(d, zero, six)
    p = Conv(dc, w3, b3)
    s = Add(p, ar)
    sr = Relu(s)
    m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (sr)
    l = Conv(m, w4, b4)
    lr = Relu(l)
    k = Conv(m, w5, b5)
    kr = Relu(k)
    c = Concat <axis = 1> (lr, kr)
    g = GlobalAveragePool(c)
    f = Flatten(g)
    y = Gemm <transB = 1> (f, w6, b6)
}"""
SHAPES = {
    "w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "w4": (6, 8, 1, 1), "w5": (6, 8, 1, 1), "w6": (5, 12),
}  # fmt: skip


@pytest.fixture(scope="module")
def network() -> ir.Model:
    proto = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    arrays = {"zero": np.float32(0), "six": np.float32(6)}
    for name, shape in SHAPES.items():
        arrays[name] = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        arrays[f"b{name[1]}"] = (random.normal(size=shape[0]) * 0.1).astype(np.float32)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _samples(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, 3, 16, 16)).astype(np.float32)


def _batches(n: int = 32, size: int = 8) -> Iterator[dict[str, NDArray[Any]]]:
    samples = _samples(n)
    yield from ({"x": samples[start : start + size]} for start in range(0, n, size))


def _quantize(model: ir.Model, scheme: str, method: RangeMethod = "minmax") -> ir.Model:
    ranges = collect_ranges(model, _batches(), methods=(method,))
    return insert_qdq(model, plan_quantization(model, ranges.tensors[method], SCHEMES[scheme]))[0]


def _relative_error(model: ir.Model, quantized: ir.Model) -> float:
    feed = {"x": _samples(16, seed=1)}
    wanted, found = GraphRunner(model).run(feed)["y"], GraphRunner(quantized).run(feed)["y"]
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_computes_nearly_the_same(network: ir.Model, scheme: str) -> None:
    assert _relative_error(network, _quantize(network, scheme)) < MOST_RELATIVE_ERROR


@pytest.mark.parametrize("method", RANGE_METHODS)
def test_every_range_method_computes_nearly_the_same(network: ir.Model, method: RangeMethod) -> None:
    assert _relative_error(network, _quantize(network, "onnx-u8s8", method)) < MOST_RELATIVE_ERROR


def test_all_layers_run_in_integer_kernels(network: ir.Model, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    model = ir.to_proto(_quantize(network, "onnx-u8s8")).SerializeToString()
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert counts["QLinearConv"] == 5
    assert counts["QLinearAdd"] == counts["QLinearConcat"] == counts["QLinearGlobalAveragePool"] == 1
    assert counts["QGemm"] == 1
    assert not counts.keys() & {"Conv", "Relu", "Clip", "Add", "Concat", "Gemm"}


def test_ranges_do_not_depend_on_how_samples_are_batched(network: ir.Model) -> None:
    whole, single = (collect_ranges(network, _batches(16, size)) for size in (16, 1))
    assert whole.samples == single.samples == 16
    for name, (low, high) in whole.tensors["minmax"].items():
        assert single.tensors["minmax"][name] == pytest.approx((low, high), rel=1e-5, abs=1e-6)


def test_every_method_covers_the_same_values_and_all_that_is_stored(network: ir.Model) -> None:
    ranges = collect_ranges(network, _batches()).tensors
    assert {frozenset(found) for found in ranges.values()} == {frozenset(ranges["mse"])}
    assert {"x", "ar", "dc", "p", "sr", "m", "lr", "c", "g", "f", "y"} <= set(ranges["mse"])


def test_minmax_ranges_are_the_extremes_of_the_inner_values(network: ir.Model) -> None:
    found = collect_ranges(network, _batches(), methods=("minmax",)).tensors["minmax"]
    inner = GraphRunner(network, outputs=["p", "sr"]).run({"x": _samples(32)})
    assert found["p"] == pytest.approx((inner["p"].min(), inner["p"].max()), rel=1e-5)
    assert found["sr"] == pytest.approx((0.0, inner["sr"].max()), rel=1e-5)


def test_the_moving_average_does_not_depend_on_how_samples_are_batched(network: ir.Model) -> None:
    method: RangeMethod = "moving_average"
    whole, single = (collect_ranges(network, _batches(16, size), methods=(method,)).tensors[method] for size in (16, 1))
    for name, found in whole.items():
        assert single[name] == pytest.approx(found, rel=1e-4, abs=1e-6)


def test_channel_statistics_are_those_of_the_inner_values(network: ir.Model) -> None:
    found = collect_ranges(network, _batches(), methods=("minmax",), channels=True)
    inner = GraphRunner(network, outputs=["ar", "d", "f"]).run({"x": _samples(32)})
    for name, axes in {"ar": (0, 2, 3), "d": (0, 2, 3), "f": (0,)}.items():
        assert found.channel_means[name] == pytest.approx(inner[name].mean(axis=axes), rel=1e-4, abs=1e-5)
        assert found.channel_maxima[name] == pytest.approx(np.abs(inner[name]).max(axis=axes), rel=1e-4)


def test_channel_statistics_are_only_collected_when_asked_for(network: ir.Model) -> None:
    found = collect_ranges(network, _batches(), methods=("minmax",))
    assert not found.channel_means
    assert not found.channel_maxima


def test_batches_are_read_once_and_progress_is_told(network: ir.Model) -> None:
    steps: list[tuple[int, int]] = []
    collect_ranges(network, _batches(20, 8), on_step=lambda done, total, label: steps.append((done, total)))
    assert steps == [(8, 0), (16, 0), (20, 0)]


def test_no_sample_is_an_error(network: ir.Model) -> None:
    with pytest.raises(DataError, match="no calibration sample"):
        collect_ranges(network, [])


def test_values_that_are_never_finite_are_an_error(network: ir.Model) -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        collect_ranges(network, [{"x": np.full((2, 3, 16, 16), np.nan, np.float32)}])


def test_little_activation_memory_gives_the_same_ranges(network: ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = collect_ranges(network, _batches(), methods=("minmax",))
    monkeypatch.setattr("edgeai_converters.calibrate.inner_values.ACTIVATION_BYTES", 4096)
    pieces = collect_ranges(network, _batches(), methods=("minmax",))
    for name, found in whole.tensors["minmax"].items():
        assert pieces.tensors["minmax"][name] == pytest.approx(found, rel=1e-5, abs=1e-6)


def test_the_method_with_the_smallest_output_error_comes_first(network: ir.Model) -> None:
    ranges = collect_ranges(network, _batches())
    spoilt = {name: (low / 20, high / 20) for name, (low, high) in ranges.tensors["mse"].items()}
    ranges.tensors["mse"] = spoilt
    errors = range_method_errors(network, ranges, SCHEMES["onnx-u8s8"], _batches(8))
    order = rank_range_methods(network, ranges, SCHEMES["onnx-u8s8"], _batches(8))
    assert order[-1] == "mse"
    assert [errors[method] for method in order] == sorted(errors.values())
