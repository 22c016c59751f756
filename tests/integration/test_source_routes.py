"""Routes: `convert` writes what it ran and compared, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import edgeai_converters.convert.write as write_graph
from edgeai_converters.convert.convert import convert
from edgeai_converters.routes import SUFFIXES, routes_for
from edgeai_converters.spec import ConvertSpec
from edgeai_runtime.errors import OutputError, ParityError, UnsupportedOperationError, UsageError
from edgeai_runtime.manifest import FORMATS, Format, Precision

_PACKAGES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,8,8,8] x) => (float[N,10] z) {
        c = Conv<pads = [1, 1, 1, 1]>(x, w, b) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p)
        z = Gemm(f, k, m) }"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in {"w": (16, 8, 3, 3), "b": (16,), "k": (16, 10), "m": (10,)}.items():
        array = random.normal(size=shape).astype(np.float32) / 10
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic_int8"])
def test_every_format_and_precision_without_data(
    source: Path, tmp_path: Path, format: Format, precision: Precision
) -> None:
    pytest.importorskip(_PACKAGES[format])
    out = tmp_path / "out"
    out.mkdir()
    steps: list[tuple[int, int]] = []
    conversion = convert(
        ConvertSpec(source=source, format=format, precision=precision),
        out / f"small{SUFFIXES[format]}",
        on_step=lambda done, total, label: steps.append((done, total)),
    )
    expected = ["small.xml", "small.bin"] if format == "openvino" else [f"small{SUFFIXES[format]}"]
    assert sorted(path.name for path in out.iterdir()) == sorted(expected)
    assert conversion.artifact.path == out / expected[0]
    assert conversion.route == ("onnx", "simplify", f"emit {format}")
    assert conversion.to_json()["parity"]["n"] == 8
    assert steps[-1] == (3, 3)


def test_samples_of_the_user_serve_the_gate(source: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((5, 8, 8, 8), np.float32))
    spec = ConvertSpec(source=source, format="onnx", samples=str(tmp_path / "data.npz"))
    assert convert(spec, tmp_path / "out.onnx").parity.n == 13


def test_an_existing_file_is_kept_unless_forced(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        convert(ConvertSpec(source=source, format="onnx"), out)
    assert out.read_bytes() == b"mine"
    convert(ConvertSpec(source=source, format="onnx"), out, force=True)
    assert out.read_bytes() != b"mine"


def test_static_int8_points_to_compress(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs calibration data") as caught:
        convert(ConvertSpec(source=source, format="onnx", precision="int8"), tmp_path / "out.onnx")
    assert "edgeai compress" in caught.value.hint


@pytest.mark.parametrize("out", ["out.tflite", "nowhere/out.onnx"])
def test_an_output_that_makes_no_sense_is_refused(source: Path, tmp_path: Path, out: str) -> None:
    with pytest.raises((UsageError, OutputError)):
        convert(ConvertSpec(source=source, format="onnx"), tmp_path / out)


def test_a_mismatch_is_never_left_on_disk(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def falsify(model: Any, *args: Any, **kwargs: Any) -> Any:
        model = model.clone()
        bias = model.graph.initializers["m"]
        bias.const_value = ir.tensor(bias.const_value.numpy() + np.float32(0.1), name="m")
        return emit(model, *args, **kwargs)

    emit = write_graph.emit
    monkeypatch.setattr(write_graph, "emit", falsify)
    with pytest.raises(ParityError, match=r"emit onnx.*first wrong tensor is 'z', written by Gemm"):
        convert(ConvertSpec(source=source, format="onnx"), tmp_path / "out.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx"]


def test_the_own_road_comes_first_and_tensorflow_second() -> None:
    assert [route.steps[-1].tool for route in routes_for("keras", "tflite")][:2] == ["edgeai", "tensorflow"]
    assert [route.steps[-1].tool for route in routes_for("onnx", "tflite")] == ["edgeai", "onnx2tf"]
    with pytest.raises(UsageError, match="no route"):
        routes_for("caffe", "onnx")


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.litert
@pytest.mark.filterwarnings("ignore")
def test_where_our_writer_stops_tensorflow_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedOperationError("The writer has no Gemm.")

    monkeypatch.setattr(write_graph, "emit", refuse)
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, name="y")])
    model.save(tmp_path / "m.keras")
    conversion = convert(ConvertSpec(source=tmp_path / "m.keras", format="tflite"), tmp_path / "out.tflite")
    assert conversion.route == ("keras", "tensorflow")
    assert [spec.name for spec in (*conversion.artifact.inputs, *conversion.artifact.outputs)] == ["x", "y"]
    assert any("The writer has no Gemm. Took another route." in note for note in conversion.notes)
    assert [attempt.reason for attempt in conversion.tried] == ["The writer has no Gemm."]
