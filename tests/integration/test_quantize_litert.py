"""The TFLite scheme in LiteRT: integer tensors, one delegated partition, answers like the float graph's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES

pytestmark = pytest.mark.litert

# Eight bits on both sides of four layers: about 1 % of the output's size; the bound is three times that.
MOST_RELATIVE_ERROR = 0.03

NETWORK = """<ir_version: 9, opset_import: ["" : 20]> g (float[1,3,16,16] x) => (float[1,5] y)
{
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    ar = Relu(a)
    p = Conv(ar, w2, b2)
    s = Add(p, ar)
    m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s)
    l = Conv(m, w3, b3)
    lr = Relu(l)
    c = Concat <axis = 1> (lr, m)
    g = GlobalAveragePool(c)
    f = Flatten(g)
    y = Gemm <transB = 1> (f, w4, b4)
}"""
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 8, 1, 1), "w3": (6, 8, 1, 1), "w4": (5, 14)}


def test_an_int8_network_is_delegated_whole_and_answers_like_the_float_graph(tmp_path: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    proto = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        weight = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        bias = (random.normal(size=shape[0]) * 0.1).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(bias, f"b{name[1]}"))
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    samples = random.normal(size=(32, 3, 16, 16)).astype(np.float32)
    ranges = collect_ranges(model, ({"x": x[None]} for x in samples), methods=("minmax",)).tensors["minmax"]
    plan = plan_quantization(model, ranges, SCHEMES["tflite-int8"])
    assert not plan.float_nodes
    artifact = emit_tflite(insert_qdq(model, plan)[0], tmp_path)

    interpreter = litert.Interpreter(str(artifact.path), num_threads=1)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for sample in samples:
        is_nchw = tuple(given["shape"]) == (1, *sample.shape)
        interpreter.set_tensor(given["index"], (sample if is_nchw else sample.transpose(1, 2, 0))[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(taken["index"]).copy())
    wanted = GraphRunner(model).run({"x": samples})["y"]
    assert np.linalg.norm(np.concatenate(found) - wanted) < MOST_RELATIVE_ERROR * np.linalg.norm(wanted)
    delegated = [op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
    assert len(delegated) == 1
