"""Converting what is quantized already: integers carried over, or back to float, and both told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai.api import convert
from edgeai.cli import main
from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.convert.carry import _require_steps
from edgeai_converters.convert.gates import CARRIED
from edgeai_converters.emit.table import emit
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.integer_boundary import integer_boundary
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.routes import SUFFIXES
from edgeai_runtime.errors import ParityError, UnsupportedOperationError, UsageError
from edgeai_runtime.manifest import Format

pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime, pytest.mark.openvino]

NETWORK = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,3,16,16] x) => (float[1,5] y)
{
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    ar = Relu(a)
    p = Conv <pads = [1, 1, 1, 1]> (ar, w2, b2)
    s = Add(p, ar)
    m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s)
    t = Transpose <perm = [0, 2, 3, 1]> (m)
    f = Flatten(t)
    y = Gemm <transB = 1> (f, w3, b3)
}"""
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (5, 512)}
FORMATS: tuple[Format, ...] = ("tflite", "onnx", "openvino")


@pytest.fixture(scope="module")
def network() -> ir.Model:
    proto = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    arrays = {}
    for name, shape in SHAPES.items():
        arrays[name] = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        arrays[f"b{name[1]}"] = (random.normal(size=shape[0]) * 0.1).astype(np.float32)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


@pytest.fixture(scope="module")
def sources(network: ir.Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network in float and quantized, as TFLite and as ONNX."""
    folder = tmp_path_factory.mktemp("sources")
    random = np.random.default_rng(2)
    batches = [{"x": random.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(32)]
    ranges = collect_ranges(network, batches, methods=("minmax",)).tensors["minmax"]
    made: dict[str, Path] = {}
    for name, format, scheme in (("tflite", "tflite", "tflite-int8"), ("onnx", "onnx", "onnx-u8s8")):
        rounded = insert_qdq(network, plan_quantization(network, ranges, SCHEMES[scheme]))[0]
        made[name] = emit(rounded, format, folder, stem="quantized").path  # type: ignore[arg-type]
        made[f"float {name}"] = emit(network, format, folder, stem="float").path  # type: ignore[arg-type]
        if name == "onnx":
            stored = integer_boundary(rounded, inputs="uint8", outputs="uint8", ranges=ranges)[0]
            made["onnx with integers outside"] = emit(stored, "onnx", folder, stem="integers").path
    return made


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("source", ["tflite", "onnx", "onnx with integers outside"])
def test_integers_are_carried_over_and_answer_within_steps(
    source: str, format: Format, sources: dict[str, Path], tmp_path: Path
) -> None:
    done = convert(sources[source], format, out=tmp_path / f"m{SUFFIXES[format]}", precision="int8")
    assert done.integers == "carried over"
    assert done.steps is not None
    assert done.steps <= (3 if format == "openvino" else 2)
    assert "carry over" in done.route
    assert any(note.startswith("carried over: already quantized") for note in done.notes)
    assert done.to_json()["integers"] == "carried over"
    if format == "tflite":
        assert done.artifact.size_bytes < 0.5 * sources["float tflite"].stat().st_size


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("source", ["tflite", "onnx", "onnx with integers outside"])
def test_a_quantized_source_becomes_float_unless_asked_otherwise(
    source: str, format: Format, sources: dict[str, Path], tmp_path: Path
) -> None:
    done = convert(sources[source], format, out=tmp_path / f"m{SUFFIXES[format]}")
    assert done.integers == "dequantized"
    assert done.steps is None
    told = " ".join(done.notes)
    assert "dequantized to float" in told
    assert "--precision int8 carries the source's integers over" in told
    assert not {"QuantizeLinear", "DequantizeLinear", "QUANTIZE", "DEQUANTIZE"} & set(done.artifact.operators)
    assert [spec.dtype for spec in (*done.artifact.inputs, *done.artifact.outputs)] == ["float32", "float32"]


@pytest.mark.parametrize("source", ["float tflite", "float onnx"])
def test_a_float_source_needs_data_for_int8(source: str, sources: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs calibration data") as told:
        convert(sources[source], "onnx", out=tmp_path / "m.onnx", precision="int8")
    assert "edgeai compress" in str(told.value.hint)
    assert not any(tmp_path.iterdir())


def test_why_integers_can_not_be_carried_over_is_told(tmp_path: Path) -> None:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,4] x) => (float[1,4] y)
    { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) r = DequantizeLinear(w, s, v) y = MatMul(d, r) }"""
    proto = onnx.parser.parse_model(text)
    arrays = {"s": np.float32(0.05), "z": np.uint8(128), "v": np.uint8(100), "w": np.full((4, 4), 130, np.uint8)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    onnx.save(proto, tmp_path / "net.onnx")
    with pytest.raises(UnsupportedOperationError, match="weights 'w' have a zero point"):
        convert(tmp_path / "net.onnx", "tflite", out=tmp_path / "m.tflite", precision="int8")
    done = convert(tmp_path / "net.onnx", "tflite", out=tmp_path / "m.tflite")
    assert any("cannot be carried over into tflite: its weights 'w' have a zero point" in note for note in done.notes)
    carried = convert(tmp_path / "net.onnx", "onnx", out=tmp_path / "m.onnx", precision="int8")
    assert carried.integers == "carried over"


def test_the_command_line_tells_steps(
    sources: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["convert", str(sources["tflite"]), "--to", "onnx", "--precision", "int8"]
    assert main([*arguments, "-o", str(tmp_path / "a.onnx"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["integers"] == "carried over"
    assert 0 <= document["steps"] <= document["tolerance"]["max_steps"]
    assert main([*arguments, "-o", str(tmp_path / "b.onnx")]) == 0
    assert "steps of an output away" in capsys.readouterr().out
    assert main([*arguments, "--explain"]) == 0
    assert "tflite reader → carry over → emit onnx" in capsys.readouterr().out


def test_an_answer_too_many_steps_away_is_refused() -> None:
    nothing, steps = {"y": np.zeros((1, 2), np.float32)}, {"y": 0.5}
    near, far = ({"y": np.array([[0, away]], np.float32)} for away in (8, 9))
    assert _require_steps(nothing, near, steps, CARRIED["onnx"], what="route") == 16
    with pytest.raises(ParityError, match="'y' is 18 steps away from the source's; 16 are allowed, because kernels"):
        _require_steps(nothing, far, steps, CARRIED["onnx"], what="route")
