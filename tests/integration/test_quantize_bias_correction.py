"""Bias correction: with rounded weights alone, every layer's mean output is that of the float graph again."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.bias_correction import correct_biases
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytestmark = pytest.mark.onnxruntime

LAYERS = {
    "convolution": ("y = Conv(x, w, b)", "float[N,6,5,5] y", (6, 4, 3, 3), 6),
    "depthwise": ("y = Conv <group = 4> (x, w, b)", "float[N,8,5,5] y", (8, 1, 3, 3), 8),
    "grouped": ("y = Conv <group = 2> (x, w, b)", "float[N,6,5,5] y", (6, 2, 3, 3), 6),
    "dense": ("f = Flatten(x) y = Gemm(f, w, b)", "float[N,6] y", (196, 6), 6),
    "matrix and sum": ("f = Flatten(x) h = MatMul(f, w) y = Add(h, b)", "float[N,6] y", (196, 6), 6),
    "dense, transposed": ("f = Flatten(x) y = Gemm <transB = 1> (f, w, b)", "float[N,6] y", (6, 196), 6),
}


def _model(kind: str) -> ir.Model:
    body, output, shape, channels = LAYERS[kind]
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,4,7,7] x) => ({output}) {{ {body} }}'
    )
    random = np.random.default_rng(0)
    for name, array in {"w": random.normal(size=shape), "b": random.normal(size=channels)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


@pytest.fixture
def samples() -> NDArray[np.float32]:
    # The same mean at every position: only then is the correction of a convolution exact.
    random = np.random.default_rng(1)
    return (random.normal(size=(1, 4, 1, 1)) * 3 + np.zeros((8, 4, 7, 7))).astype(np.float32)


def _planned(model: ir.Model, samples: NDArray[np.float32]) -> tuple[Ranges, QuantizationPlan]:
    ranges = collect_ranges(model, [{"x": samples}], methods=("minmax",), channels=True)
    plan = plan_quantization(model, ranges.tensors["minmax"], SCHEMES["onnx-u8s8"])
    only_weights = {name: found for name, found in plan.weights.items() if found.dtype == "int8"}
    return ranges, QuantizationPlan(scheme=plan.scheme, weights=only_weights)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_mean_output_of_every_channel_is_restored(kind: str, samples: NDArray[np.float32]) -> None:
    model = _model(kind)
    ranges, plan = _planned(model, samples)
    corrected, changed = correct_biases(model, plan, ranges.channel_means)
    wanted, plain, mended = (
        GraphRunner(one).run({"x": samples})["y"]
        for one in (model, insert_qdq(model, plan)[0], insert_qdq(corrected, plan)[0])
    )
    assert changed
    assert np.abs(mended - wanted).max() < 0.01 * np.abs(plain - wanted).max()


def test_the_graph_given_is_not_changed(samples: NDArray[np.float32]) -> None:
    model = _model("convolution")
    before = ir.to_proto(model).SerializeToString()
    ranges, plan = _planned(model, samples)
    correct_biases(model, plan, ranges.channel_means)
    assert ir.to_proto(model).SerializeToString() == before


def test_without_means_nothing_is_corrected(samples: NDArray[np.float32]) -> None:
    model = _model("convolution")
    assert correct_biases(model, _planned(model, samples)[1], {})[1] is False
