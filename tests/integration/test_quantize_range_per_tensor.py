"""The method of each tensor: an outlier that carries the answer is kept, one that does not is cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.output_error import OutputError
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.range_per_tensor import choose_ranges_per_tensor
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.spec import RANGE_METHODS

pytestmark = pytest.mark.onnxruntime

SCHEME = SCHEMES["tflite-int8"]


@pytest.fixture(scope="module")
def network() -> ir.Model:
    """One branch answers with its outliers; the other reads them through a sigmoid, which they saturate."""
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,16] x, float[N,16] x2) => (float[N,6] y, float[N,6] z)'
        "{ a = MatMul(x, w) ar = Relu(a) y = MatMul(ar, v) b = MatMul(x2, u) s = Sigmoid(b) z = MatMul(s, t) }"
    )
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=(16, 6)) for name in ("v", "t")}
    arrays |= {"w": np.eye(16), "u": np.eye(16) * 4}
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _batches() -> list[dict[str, NDArray[Any]]]:
    random = np.random.default_rng(2)
    samples = random.normal(size=(2, 512, 16)).astype(np.float32)
    samples[:, np.arange(0, 512, 17), random.integers(0, 16, 31)] *= 60.0
    return [{"x": part[0], "x2": part[1]} for part in np.split(samples, 2, axis=1)]


@pytest.fixture(scope="module")
def ranges(network: ir.Model) -> Ranges:
    return collect_ranges(network, _batches(), methods=RANGE_METHODS)


def _error(network: ir.Model, found: dict[str, tuple[float, float]]) -> float:
    return OutputError(network, _batches()).of(insert_qdq(network, plan_quantization(network, found, SCHEME))[0])


def test_the_outputs_are_nearer_than_with_any_method_alone(network: ir.Model, ranges: Ranges) -> None:
    _, chosen = choose_ranges_per_tensor(network, ranges, SCHEME, _batches())
    alone = min(_error(network, found) for found in ranges.tensors.values())
    assert _error(network, chosen) < 0.75 * alone


def test_only_the_tensor_behind_which_outliers_saturate_is_cut(network: ir.Model, ranges: Ranges) -> None:
    _, chosen = choose_ranges_per_tensor(network, ranges, SCHEME, _batches())
    kept = {name: chosen[name][1] / ranges.tensors["minmax"][name][1] for name in ("x", "ar", "x2", "b")}
    assert kept["x2"] < 0.5
    assert kept["b"] < 0.5
    assert kept["x"] > 0.8
    assert kept["ar"] > 0.8


def test_every_stored_tensor_has_the_range_of_its_method(network: ir.Model, ranges: Ranges) -> None:
    choice, chosen = choose_ranges_per_tensor(network, ranges, SCHEME, _batches())
    plan = plan_quantization(network, chosen, SCHEME)
    assert set(choice) == set(plan.activations) - {"s"}  # the engine fixes a sigmoid's scale
    assert {name: ranges.tensors[method][name] for name, method in choice.items()} == {n: chosen[n] for n in choice}


def test_no_tensor_tried_leaves_the_best_method_for_all(network: ir.Model, ranges: Ranges) -> None:
    choice, chosen = choose_ranges_per_tensor(network, ranges, SCHEME, _batches(), most=0)
    assert len(set(choice.values())) == 1
    assert chosen == ranges.tensors[next(iter(choice.values()))]
