"""The table of layer timings, measured in each real engine on small networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.prune.groups import find_groups
from edgeai_converters.prune.latency_measure import measure_latency_table, measure_networks
from edgeai_converters.prune.latency_table import LatencyTable
from edgeai_converters.prune.layer_artifacts import Precision
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

ENGINES: dict[Format, str] = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}
LITERT, ONNXRUNTIME, OPENVINO = pytest.mark.litert, pytest.mark.onnxruntime, pytest.mark.openvino


def _model(signature: str, body: str, **sizes: tuple[int, ...]) -> ir.Model:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 18]> g {signature} {{ {body} }}')
    random = np.random.default_rng(0)
    for name, size in sizes.items():
        array = random.normal(size=size).astype(np.float32) / np.float32(np.sqrt(max(1, np.prod(size[1:]))))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return prepare_graph(proto)


def _convolutions() -> ir.Model:
    return _model(
        "(float[N,3,8,8] x) => (float[N,5] y)",
        """a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) ar = Relu(a)
        d = Conv <pads = [1, 1, 1, 1], group = 4> (ar, w2, b2) dr = Relu(d) c = Conv(dr, w3, b3) s = Add(c, dr)
        p = GlobalAveragePool(s) f = Flatten(p) y = Gemm <transB = 1> (f, w4, b4)""",
        w1=(4, 3, 3, 3), b1=(4,), w2=(4, 1, 3, 3), b2=(4,), w3=(4, 4, 1, 1), b3=(4,), w4=(5, 4), b4=(5,),
    )  # fmt: skip


def _dense() -> ir.Model:
    body = "h = Gemm <transB = 1> (x, w1, b1) r = Relu(h) y = Gemm <transB = 1> (r, w2, b2)"
    return _model("(float[N,512] x) => (float[N,512] y)", body, w1=(768, 512), b1=(768,), w2=(512, 768), b2=(512,))


def _measure(model: ir.Model, format: Format, precision: Precision, work: WorkFolder) -> LatencyTable:
    pytest.importorskip(ENGINES[format])
    return measure_latency_table(
        model, find_groups(model), format=format, precision=precision, threads=1, work=work, budget_s=0.2
    )


@pytest.mark.parametrize(
    ("format", "precision"),
    [
        pytest.param("tflite", "int8", marks=LITERT),
        pytest.param("onnx", "int8", marks=ONNXRUNTIME),
        pytest.param("onnx", "float32", marks=ONNXRUNTIME),
        pytest.param("openvino", "int8", marks=OPENVINO),
    ],
)
def test_every_layer_is_timed_and_the_table_is_kept(format: Format, precision: Precision, tmp_path: Path) -> None:
    table = _measure(_convolutions(), format, precision, WorkFolder(tmp_path))
    assert [timed.layer.signature.op for timed in table.layers] == ["Conv", "Conv", "Conv", "Gemm"]
    assert all(ms > 0 for times in table.times.values() for ms in times.values())
    assert table.anchors[0].ms > 0
    again = WorkFolder(tmp_path)
    assert _measure(_convolutions(), format, precision, again) == table
    assert again.reused == 1


@pytest.mark.litert
def test_a_network_of_an_eighth_is_predicted_to_be_much_faster_and_is(tmp_path: Path) -> None:
    model, work = _dense(), WorkFolder(tmp_path)
    table = _measure(model, "tflite", "float32", work)
    narrow, groups = {"w1": 96}, find_groups(model)
    ratios = measure_networks(
        model, groups, {"narrow": narrow}, format="tflite", precision="float32", threads=1, work=work, budget_s=0.2
    )
    assert table.predict_ratio(narrow) < 0.6
    assert ratios["narrow"] < 0.6


@pytest.mark.litert
@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_hidden_units_of_recurrent_layers_are_timed(op: str, gates: int, tmp_path: Path) -> None:
    model = _model(
        "(float[6,N,4] x) => (float[N,3] y)",
        f"""s, h = {op} <hidden_size = 4{", linear_before_reset = 1" if op == "GRU" else ""}> (x, w1, r1, b1)
        axes = Constant <value_ints = [0]> () q = Squeeze(h, axes) y = Gemm <transB = 1> (q, w2, b2)""",
        w1=(1, gates * 4, 4), r1=(1, gates * 4, 4), b1=(1, gates * 8), w2=(3, 4), b2=(3,),
    )  # fmt: skip
    table = _measure(model, "tflite", "float32", WorkFolder(tmp_path))
    assert [timed.layer.signature.op for timed in table.layers] == [op, "Gemm"]
    assert {units for _, units in table.layers[0].points} == {1, 2, 3, 4}


def test_a_network_with_free_sizes_is_refused(tmp_path: Path) -> None:
    body = "a = Conv(x, w1, b1) p = GlobalAveragePool(a) f = Flatten(p) y = Gemm <transB = 1> (f, w2, b2)"
    model = _model("(float[N,3,H,W] x) => (float[N,5] y)", body, w1=(4, 3, 3, 3), b1=(4,), w2=(5, 4), b2=(5,))
    with pytest.raises(UsageError, match="only static shapes"):
        _measure(model, "onnx", "float32", WorkFolder(tmp_path))
