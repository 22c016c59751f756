"""TFLite files as sources: parity with LiteRT, names, quantized files, and files that are no models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.emit.tflite.quantization import Quantization
from edgeai_converters.emit.tflite.reader import Boundary
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import measure_parity
from edgeai_converters.sources.table import import_source
from edgeai_converters.sources.tflite import _require_steps, import_tflite
from edgeai_runtime.errors import ModelError, ParityError, UnsupportedOperationError

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime, pytest.mark.assets]

FLOAT_FILES = [
    "mlperf_tiny/image_classification/pretrainedResnet.tflite",
    "mlperf_tiny/anomaly_detection/ad01_fp32.tflite",
    "tflite_micro/hello_world_float.tflite",
]
QUANTIZED_FILES = [
    "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite",
    "mlperf_tiny/keyword_spotting/kws_ref_model.tflite",
    "mlperf_tiny/anomaly_detection/ad01_int8.tflite",
    "tflite_micro/hello_world_int8.tflite",
    "imagenet_sample/mobilenet_v1_0.25_128_quant.tflite",
    "imagenet_sample/mobilenet_v2_1.0_224_quant.tflite",
]


@pytest.mark.parametrize("file", FLOAT_FILES)
def test_float_file_becomes_a_graph_that_answers_the_same(file: str, assets: Path, tmp_path: Path) -> None:
    imported = import_source(assets / file, workdir=tmp_path)
    parity = measure_parity(imported.probe_outputs, GraphRunner(imported.model).run(imported.probe_inputs))
    assert parity.max_rel < 1e-5
    assert imported.notes == ()
    assert (imported.kind, imported.route) == ("tflite", ("tflite reader",))


def test_names_are_those_of_the_signature_or_of_the_tensors(assets: Path, tmp_path: Path) -> None:
    signed = import_tflite(assets / "tflite_micro/hello_world_float.tflite", workdir=tmp_path)
    assert [value.name for value in signed.model.graph.inputs] == ["dense_input"]
    unsigned = import_tflite(assets / "mlperf_tiny/anomaly_detection/ad01_fp32.tflite", workdir=tmp_path)
    assert [value.name for value in unsigned.model.graph.inputs] == ["input_1"]
    assert [value.name for value in unsigned.model.graph.outputs] == ["Identity"]


def test_int8_weights_are_brought_back_to_float(assets: Path, tmp_path: Path) -> None:
    imported = import_tflite(assets / "mlperf_tiny/keyword_spotting/kws_ref_model_float32.tflite", workdir=tmp_path)
    assert imported.notes == ("weights were stored as int8: brought back to float32",)
    constants = [value.const_value for value in imported.model.graph.initializers.values()]
    assert {tensor.numpy().dtype for tensor in constants if tensor is not None} <= {np.dtype("f4"), np.dtype("i8")}


def test_a_file_that_litert_refuses_is_refused_with_the_tensors_at_fault(assets: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"LiteRT refuses this file: .* of 14 tensors .*Conv2d_0/Conv2D_bias"):
        import_tflite(assets / "tflite_micro/person_detect.tflite", workdir=tmp_path)


@pytest.mark.parametrize("file", QUANTIZED_FILES)
def test_quantized_file_becomes_a_float_graph_and_says_so(file: str, assets: Path, tmp_path: Path) -> None:
    imported = import_tflite(assets / file, workdir=tmp_path)  # holds the graph with rounding against LiteRT
    assert "already quantized" in imported.notes[0]
    assert any("float32 in the graph: real = (stored - " in note for note in imported.notes[1:])
    assert {array.dtype.name for array in imported.probe_inputs.values()} == {"float32"}
    assert {array.dtype.name for array in imported.probe_outputs.values()} == {"float32"}
    assert not any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in imported.model.graph)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n0000", "is not a TFLite model"),
        ("cut", "damaged TFLite model"),
    ],
    ids=["empty", "foreign", "truncated"],
)
def test_file_that_is_no_model_is_a_clear_error(content: bytes | str, words: str, assets: Path, tmp_path: Path) -> None:
    whole = (assets / "mlperf_tiny/image_classification/pretrainedResnet.tflite").read_bytes()
    path = tmp_path / "model.tflite"
    path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(ModelError, match=words):
        import_tflite(path, workdir=tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_file_cut_anywhere_is_an_error_and_no_crash(share: float, assets: Path, tmp_path: Path) -> None:
    whole = (assets / "tflite_micro/hello_world_float.tflite").read_bytes()
    path = tmp_path / "model.tflite"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError):
        import_tflite(path, workdir=tmp_path)


def test_operators_that_can_not_be_read_are_all_named(assets: Path, tmp_path: Path) -> None:
    from edgeai_converters.emit.tflite.flatbuffer import read_model, write_model

    model = read_model((assets / "tflite_micro/hello_world_float.tflite").read_bytes())
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 27  # read by nobody
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(model))
    with pytest.raises(UnsupportedOperationError, match="3 of 3 operators"):
        import_tflite(path, workdir=tmp_path)


def test_a_quantized_output_far_from_the_files_is_told_in_its_steps() -> None:
    quantization = Quantization(scale=np.array([0.5], np.float32), zero_point=np.array([0]), axis=None)
    entry = Boundary(name="y", shape=(1, 2), dtype="int8", graph_dtype="float32", quantization=quantization)
    near, far = (np.array([[0, away]], np.float32) for away in (8, 10))
    nothing = {"y": np.zeros((1, 2), np.float32)}
    _require_steps([entry], nothing, {"y": near}, what="reader")
    with pytest.raises(ParityError, match="'y' is 20 of its 256 steps away"):
        _require_steps([entry], nothing, {"y": far}, what="reader")
