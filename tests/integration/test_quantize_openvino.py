"""The same quantized graph in OpenVINO: unsigned activations, and answers like ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytestmark = pytest.mark.openvino

# OpenVINO keeps some sums in float that ONNX Runtime rounds: a few steps of 1/255 of the largest output.
MOST_RELATIVE_DIFFERENCE = 0.03

NETWORK = """<ir_version: 9, opset_import: ["" : 20]> g (float[1,3,16,16] x) => (float[1,8,8,8] y)
{
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    ar = Relu(a)
    p = Conv(ar, w2)
    s = Add(p, ar)
    sr = Relu(s)
    y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (sr)
}"""


def test_openvino_and_onnx_runtime_agree_on_a_residual_block(tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    proto = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    for name, shape in {"w1": (8, 3, 3, 3), "w2": (8, 8, 1, 1)}.items():
        weight = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    samples = random.normal(size=(16, 3, 16, 16)).astype(np.float32)
    ranges = collect_ranges(model, ({"x": x[None]} for x in samples), methods=("minmax",)).tensors["minmax"]
    quantized, _ = insert_qdq(model, plan_quantization(model, ranges, SCHEMES["openvino-u8s8"]))
    ir.save(quantized, tmp_path / "model.onnx")

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(ov.convert_model(tmp_path / "model.onnx"), "CPU", settings)
    wanted = GraphRunner(quantized).run({"x": samples[:1]})["y"]
    found = compiled([samples[:1]])[0]
    assert np.abs(found - wanted).max() < MOST_RELATIVE_DIFFERENCE * np.abs(wanted).max()
