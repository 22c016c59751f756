"""OpenVINO IR as a source: parity, names and layouts, quantized models, and files that are no models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.openvino import emit_openvino
from edgeai_converters.graph.boundary import draw_inputs, input_specs, output_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.sources.openvino import import_openvino
from edgeai_converters.sources.table import import_source
from edgeai_runtime.errors import ModelError, UnsupportedOperationError, UsageError

openvino = pytest.importorskip("openvino")
op = pytest.importorskip("openvino.opset13")
pytestmark = [pytest.mark.openvino, pytest.mark.onnxruntime]

MAX_REL = 1e-5  # float32 rounding over a whole network
ROUNDED_WEIGHTS = 0.03  # three layers of int8 weights, one scale per channel

REAL_MODELS = [
    "cifar10/resnet20.onnx",
    "imagenet_sample/squeezenet_v1.1_f32.onnx",
    "speech_commands/kwt1.onnx",
    "speech_commands/gru_s.onnx",
    "mlperf_tiny/keyword_spotting/kws_ref_model_float32.tflite",
    "mlperf_tiny/anomaly_detection/ad01_fp32.tflite",
]

NETWORK = """<ir_version: 9, opset_import: ["" : 18]>
net (float[N,3,16,16] image) => (float[N,48,8,8] map, float[N,5] p)
{
    a = Conv <pads = [1, 1, 1, 1]> (image, w1)
    ar = Relu(a)
    b = Conv(ar, w2)
    s = Add(b, ar)
    sr = Relu(s)
    map = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (sr)
    g = GlobalAveragePool(map)
    f = Flatten(g)
    z = Gemm(f, k, m)
    p = Softmax(z)
}"""
WEIGHTS = {"w1": (48, 3, 3, 3), "w2": (48, 48, 1, 1), "k": (48, 5), "m": (5,)}


@pytest.fixture
def network() -> ir.Model:
    proto = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    for name, shape in WEIGHTS.items():
        weight = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    return simplify(prepare_graph(proto))[0]


@pytest.fixture
def file(network: ir.Model, tmp_path: Path) -> Path:
    return emit_openvino(network, tmp_path, stem="net").path


def save(outputs: Sequence[Any], inputs: Sequence[Any], path: Path) -> Path:
    """Write a model made of OpenVINO's own functions, its floats as they are."""
    openvino.save_model(openvino.Model(list(outputs), list(inputs), "made"), str(path), compress_to_fp16=False)
    return path


def constant(values: Any, dtype: Any = np.float32) -> Any:
    return op.constant(np.asarray(values, dtype))


@pytest.mark.assets
@pytest.mark.parametrize("name", REAL_MODELS)
def test_real_model_comes_back_from_the_file_the_same(name: str, assets: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    model, _ = simplify(import_source(assets / name, workdir=tmp_path / "first").model)
    emit_openvino(model, tmp_path)
    imported = import_source(tmp_path / "model.xml", workdir=tmp_path)
    back, _ = simplify(imported.model)
    assert measure_parity(imported.probe_outputs, GraphRunner(back).run(imported.probe_inputs)).max_rel < MAX_REL
    assert [(spec.name, spec.shape) for spec in input_specs(back)] == [(s.name, s.shape) for s in input_specs(model)]
    assert [spec.name for spec in output_specs(back)] == [spec.name for spec in output_specs(model)]
    assert len(back.graph) <= len(model.graph) * 1.1  # nothing is left of the detour
    assert (imported.kind, imported.quantized, imported.notes) == ("openvino", False, ())


def test_names_free_batch_and_several_outputs_are_kept(file: Path, tmp_path: Path) -> None:
    imported = import_source(file, workdir=tmp_path)
    assert [(spec.name, spec.shape) for spec in input_specs(imported.model)] == [("image", (None, 3, 16, 16))]
    assert [(spec.name, spec.shape) for spec in output_specs(imported.model)] == [
        ("map", (None, 48, 8, 8)),
        ("p", (None, 5)),
    ]
    assert input_specs(imported.model)[0].layout == "NCHW"
    assert {len(array) for array in imported.probe_inputs.values()} == {8}


def test_layout_that_the_file_notes_is_kept(tmp_path: Path) -> None:
    x = op.parameter([1, 6, 6, 3], np.float32, name="x")
    x.set_layout(openvino.Layout("NHWC"))
    path = save([op.result(op.relu(x))], [x], tmp_path / "model.xml")
    assert input_specs(import_source(path, workdir=tmp_path).model)[0].layout == "NHWC"


def test_shape_given_fixes_free_dimensions(tmp_path: Path) -> None:
    x = op.parameter([-1, -1, 4], np.float32, name="x")
    path = save([op.result(op.reduce_mean(x, constant([1], np.int64), False))], [x], tmp_path / "model.xml")
    imported = import_openvino(path, workdir=tmp_path, input_shapes={"x": [-1, 7, 4]})
    assert input_specs(imported.model)[0].shape == (None, 7, 4)
    assert imported.probe_inputs["x"].shape == (8, 7, 4)
    with pytest.raises(UsageError, match="no input named 'y'"):
        import_openvino(path, workdir=tmp_path, input_shapes={"y": [1, 7, 4]})


def test_samples_serve_as_probes(file: Path, tmp_path: Path) -> None:
    samples = np.random.default_rng(5).normal(size=(3, 3, 16, 16)).astype(np.float32)
    imported = import_openvino(file, workdir=tmp_path, samples={"image": samples})
    assert np.array_equal(imported.probe_inputs["image"][:3], samples)


def test_input_passed_on_and_value_given_out_twice_have_their_names(tmp_path: Path) -> None:
    x = op.parameter([-1, 4], np.float32, name="x")
    x.output(0).set_names({"x"})
    y = op.relu(x)
    y.output(0).set_names({"y"})
    path = save([op.result(y), op.result(y), op.result(x)], [x], tmp_path / "model.xml")
    imported = import_source(path, workdir=tmp_path)
    names = [spec.name for spec in output_specs(imported.model)]
    assert (len(set(names)), names[0]) == (3, "y")
    outputs = GraphRunner(imported.model).run(imported.probe_inputs)
    assert np.array_equal(outputs[names[2]], imported.probe_inputs["x"])


def test_half_precision_inputs_are_floats_in_the_graph(tmp_path: Path) -> None:
    x = op.parameter([-1, 4], np.float16, name="x")
    path = save([op.result(op.multiply(x, constant([1, 2, 3, 4], np.float16)))], [x], tmp_path / "model.xml")
    imported = import_source(path, workdir=tmp_path)
    assert input_specs(imported.model)[0].dtype == "float32"
    assert "'x' is float16 in the file and float32 in the graph" in imported.notes


def test_weights_of_float16_are_brought_back(network: ir.Model, tmp_path: Path) -> None:
    path = emit_openvino(store_float16(network)[0], tmp_path).path
    imported = import_source(path, workdir=tmp_path)
    assert imported.notes == ("weights were stored as float16: brought back to float32",)
    assert not imported.quantized


def test_weights_of_int8_are_brought_back(network: ir.Model, tmp_path: Path) -> None:
    path = emit_openvino(store_int8_weights(network, format="openvino")[0], tmp_path).path
    imported = import_source(path, workdir=tmp_path)
    assert imported.notes == ("weights were stored as int8: brought back to float32",)
    assert not any(node.op_type in ("Cast", "DequantizeLinear") for node in simplify(imported.model)[0].graph)


def test_quantized_model_becomes_a_float_graph_and_says_so(network: ir.Model, tmp_path: Path) -> None:
    batches = [draw_inputs(input_specs(network), n=4, seed=seed) for seed in range(3)]
    ranges = collect_ranges(network, batches, methods=("minmax",)).tensors["minmax"]
    quantized, _ = insert_qdq(network, plan_quantization(network, ranges, SCHEMES["openvino-u8s8"]))
    imported = import_source(emit_openvino(quantized, tmp_path).path, workdir=tmp_path)
    assert imported.quantized
    assert "already quantized" in imported.notes[0]
    back, _ = simplify(imported.model)
    assert {node.op_type for node in back.graph} == {node.op_type for node in network.graph}
    wanted = GraphRunner(network).run(imported.probe_inputs)
    parity = measure_parity(wanted, GraphRunner(back).run(imported.probe_inputs))
    assert 0 < parity.max_rel < ROUNDED_WEIGHTS  # the weights have been through int8


@pytest.mark.parametrize(("top", "kept"), [(4.0, "Relu"), (6.0, "Clip")])
def test_relu_that_a_quantizer_took_out_is_put_back(top: float, kept: str, tmp_path: Path) -> None:
    x = op.parameter([1, 3, 8, 8], np.float32, name="x")
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    y = op.convolution(x, constant(weights), [1, 1], [0, 0], [0, 0], [1, 1])
    rounded = op.fake_quantize(y, constant(0), constant(top), constant(0), constant(top), 256)
    imported = import_source(save([op.result(rounded)], [x], tmp_path / "model.xml"), workdir=tmp_path)
    assert [node.op_type for node in imported.model.graph if node.op_type != "Identity"] == ["Conv", kept]


def unread(tmp_path: Path) -> Path:
    x = op.parameter([4, 4], np.float32, name="x")
    first = op.bucketize(x, constant([0.0, 1.0]))
    first.set_friendly_name("sort into bins")
    memory = op.read_value(x, "kept", np.float32, [4, 4])
    memory.set_friendly_name("state")
    last = op.relu(op.add(op.convert(first, "f32"), memory))
    model = openvino.Model([op.result(last)], [op.assign(memory, "kept")], [x], "made")
    openvino.save_model(model, str(tmp_path / "model.xml"))
    return tmp_path / "model.xml"


def test_operations_that_can_not_be_read_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperationError, match=r"3 of 7 operations of model\.xml") as caught:
        import_source(unread(tmp_path), workdir=tmp_path)
    lines = caught.value.message.splitlines()[1:]
    assert {line.split(":")[0].strip() for line in lines if "Assign" not in line} == {
        "Bucketize 'sort into bins'",
        "ReadValue 'state'",
    }
    assert any(line.strip().startswith("Assign") and "between calls" in line for line in lines)


def test_weights_that_are_missing_or_cut_off_are_a_clear_error(file: Path, tmp_path: Path) -> None:
    weights = file.with_suffix(".bin")
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"net\.bin"):
        import_source(file, workdir=tmp_path)
    weights.unlink()
    with pytest.raises(ModelError, match=r"net\.bin, which is missing"):
        import_source(file, workdir=tmp_path)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.99])
def test_xml_cut_anywhere_is_an_error(share: float, file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="no XML file, or it is damaged"):
        import_source(file, workdir=tmp_path)


def test_other_xml_is_told_from_a_model(tmp_path: Path) -> None:
    path = tmp_path / "picture.xml"
    path.write_text('<?xml version="1.0"?><svg width="3"/>', encoding="utf-8")
    with pytest.raises(ModelError, match="no OpenVINO model"):
        import_source(path, workdir=tmp_path)
    path.write_text('<?xml version="1.0"?><network/>', encoding="utf-8")
    with pytest.raises(ModelError, match="is no OpenVINO IR: its root is <network>"):
        import_source(path, workdir=tmp_path)


def test_graph_that_makes_no_sense_to_openvino_is_a_clear_error(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace('type="Convolution"', 'type="Confusion"'))
    with pytest.raises(ModelError, match=r"OpenVINO .* cannot read"):
        import_source(file, workdir=tmp_path)
