"""AdaRound: weights rounded for the layers' outputs lose less than weights rounded to nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.adaround import round_weights
from edgeai_converters.quantize.affine import dequantize_array, quantize_array
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytest.importorskip("torch")
pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch]

Arrays = dict[str, NDArray[np.float32]]

BODY = """
    c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)  r = Relu(c)
    d = Conv <pads = [1, 1, 1, 1], group = 12> (r, w2, b2)  k = Clip(d, zero, six)
    p = Conv <group = 2> (k, w3)  q = Relu(p)
    g = GlobalAveragePool(q)  f = Flatten(g)
    h = MatMul(f, w4)  y = Gemm <transB = 1> (h, w5, b5)
"""
SHAPES = {
    "w1": (12, 3, 3, 3),
    "b1": (12,),
    "w2": (12, 1, 3, 3),
    "b2": (12,),
    "w3": (16, 6, 1, 1),
    "w4": (16, 20),
    "w5": (6, 20),
    "b5": (6,),
}


@pytest.fixture(scope="module")
def model() -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,12,12] x) => (float[N,6] y) {{ {BODY} }}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    constants = {name: random.normal(size=shape) / np.sqrt(np.prod(shape[1:])) for name, shape in SHAPES.items()}
    for name, array in (constants | {"zero": np.array(0.0), "six": np.array(6.0)}).items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _samples(seed: int, n: int = 48) -> Arrays:
    """Smooth maps: neighbouring places go together, as in images; otherwise nearest is hard to beat."""
    coarse = np.random.default_rng(seed).normal(size=(n, 3, 3, 3)) + 0.5
    return {"x": np.kron(coarse, np.ones((1, 1, 4, 4))).astype(np.float32)}


@pytest.fixture(scope="module")
def planned(model: ir.Model) -> Callable[[int], QuantizationPlan]:
    ranges = collect_ranges(model, [_samples(1)], methods=("minmax",)).tensors["minmax"]
    return lambda limit: plan_quantization(model, ranges, replace(SCHEMES["onnx-u8s8"], weight_limit=limit))


def _error(model: ir.Model, other: ir.Model, plan: QuantizationPlan) -> float:
    wanted, found = (GraphRunner(one).run(_samples(2, 64))["y"] for one in (model, insert_qdq(other, plan)[0]))
    return float(np.square(wanted - found).mean())


def test_error_at_four_bits_falls_below_half(model: ir.Model, planned: Callable[[int], QuantizationPlan]) -> None:
    plan = planned(7)
    rounded, changed = round_weights(model, plan, [_samples(1)], iterations=300)
    assert changed
    assert _error(model, rounded, plan) < 0.5 * _error(model, model, plan)


def test_eight_bits_are_no_worse(model: ir.Model, planned: Callable[[int], QuantizationPlan]) -> None:
    plan = planned(127)
    rounded, _ = round_weights(model, plan, [_samples(1)], iterations=100)
    assert _error(model, rounded, plan) <= 1.05 * _error(model, model, plan)


def test_rounded_weights_are_stored_exactly_and_next_to_the_old(
    model: ir.Model, planned: Callable[[int], QuantizationPlan]
) -> None:
    plan = planned(7)
    rounded, _ = round_weights(model, plan, [_samples(1)], iterations=60)
    for name in ("w1", "w2", "w3", "w4", "w5"):
        new, old = (_constant(one, name) for one in (rounded, model))
        stored = plan.weights[name]
        assert np.allclose(dequantize_array(quantize_array(new, stored), stored), new, rtol=1e-6, atol=1e-9)
        steps = quantize_array(new, stored).astype(int) - quantize_array(old, stored)
        assert np.abs(steps).max() == 1
        assert np.abs(quantize_array(new, stored).astype(int)).max() <= 7


def test_same_seed_gives_the_same_weights_and_the_given_graph_stays(
    model: ir.Model, planned: Callable[[int], QuantizationPlan]
) -> None:
    before = ir.to_proto(model).SerializeToString()
    labels: list[str] = []
    first, second = (
        round_weights(
            model,
            planned(7),
            [_samples(1)],
            iterations=20,
            seed=3,
            on_step=lambda done, total, label: labels.append(label),
        )[0]
        for _ in range(2)
    )
    assert all(np.array_equal(_constant(first, name), _constant(second, name)) for name in SHAPES)
    assert ir.to_proto(model).SerializeToString() == before
    assert len(labels) == 10


def test_without_samples_nothing_changes(model: ir.Model, planned: Callable[[int], QuantizationPlan]) -> None:
    assert round_weights(model, planned(7), [], iterations=5) == (model, False)


def _constant(model: ir.Model, name: str) -> NDArray[np.float32]:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return np.asarray(tensor.numpy())
