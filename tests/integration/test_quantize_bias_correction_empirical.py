"""Empirical bias correction: means that clipped activations and rounded weights moved are moved back."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.bias_correction_empirical import correct_biases_empirically
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytestmark = pytest.mark.onnxruntime

BODIES = {
    "convolutions": """a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
        d = Conv <pads = [1, 1, 1, 1], group = 8> (ar, w2, b2) dr = Relu(d)
        p = Conv(dr, w3, b3) pr = Relu(p) g = GlobalAveragePool(pr) f = Flatten(g) y = Gemm(f, w4, b4)""",
    "matrices": """f = Flatten(x) a = MatMul(f, v1) ab = Add(a, b1) ar = Relu(ab)
        d = MatMul(ar, v2) db = Add(d, b2) dr = Relu(db) y = Gemm(dr, w4, b4)""",
}

MOST_LEFT = {"convolutions": 0.75, "matrices": 0.95}
"""Share of the error that may be left: a dense layer has no positions over which an error of the mean adds up."""


def _model(kind: str) -> ir.Model:
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,3,8,8] x) => (float[N,5] y) {{ {BODIES[kind]} }}'
    )
    random = np.random.default_rng(0)
    shapes = {
        "w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "w4": (8, 5), "v1": (192, 8), "v2": (8, 8),
        "b1": (8,), "b2": (8,), "b3": (8,), "b4": (5,),
    }  # fmt: skip
    for name, shape in shapes.items():
        array = (random.normal(size=shape) / 3).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _samples(seed: int = 7) -> dict[str, NDArray[Any]]:
    return {"x": np.random.default_rng(seed).normal(0.5, 1, size=(64, 3, 8, 8)).astype(np.float32)}


def _plan(model: ir.Model) -> QuantizationPlan:
    """Quantize with ranges that clip the inner activations: their means fall."""
    ranges = collect_ranges(model, [_samples()], methods=("minmax",)).tensors["minmax"]
    inner = {node.outputs[0].name for node in model.graph if node.op_type == "Relu"}
    clipped = {name: (low, high * (0.4 if name in inner else 1.0)) for name, (low, high) in ranges.items()}
    return plan_quantization(model, clipped, SCHEMES["tflite-int8"])


def _error(model: ir.Model, plan: QuantizationPlan, wanted: NDArray[Any], seed: int) -> float:
    found = GraphRunner(insert_qdq(model, plan)[0]).run(_samples(seed))["y"]
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("kind", BODIES)
def test_clipped_activations_move_the_outputs_less_on_other_samples_too(kind: str) -> None:
    model = _model(kind)
    plan = _plan(model)
    corrected, changed = correct_biases_empirically(model, plan, [_samples()])
    assert changed
    wanted = GraphRunner(model).run(_samples(8))["y"]
    assert _error(corrected, plan, wanted, 8) < MOST_LEFT[kind] * _error(model, plan, wanted, 8)


@pytest.mark.parametrize("kind", BODIES)
def test_the_means_of_the_output_are_those_of_the_float_graph(kind: str) -> None:
    model = _model(kind)
    plan = _plan(model)
    corrected, _ = correct_biases_empirically(model, plan, [_samples()])
    wanted, plain, mended = (
        GraphRunner(one).run(_samples())["y"].mean(axis=0)
        for one in (model, insert_qdq(model, plan)[0], insert_qdq(corrected, plan)[0])
    )
    assert np.abs(mended - wanted).max() < 0.2 * np.abs(plain - wanted).max()


def test_no_layer_to_visit_leaves_the_graph() -> None:
    model = _model("convolutions")
    assert correct_biases_empirically(model, _plan(model), [_samples()], most=0) == (model, False)


def test_a_bias_that_two_layers_share_is_left_alone() -> None:
    model = _model("convolutions")
    last = [node for node in model.graph if node.op_type == "Conv"][1:]
    last[1].replace_input_with(2, last[0].inputs[2])
    corrected, _ = correct_biases_empirically(model, _plan(model), [_samples()])
    for one in (model, corrected):
        shared = one.graph.initializers["b2"].const_value
        assert shared is not None
        np.testing.assert_array_equal(shared.numpy(), model.graph.initializers["b2"].const_value.numpy())


def test_the_graph_given_is_not_changed() -> None:
    model = _model("convolutions")
    before = ir.to_proto(model).SerializeToString()
    correct_biases_empirically(model, _plan(model), [_samples()])
    assert ir.to_proto(model).SerializeToString() == before
