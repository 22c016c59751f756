"""Other tools: each takes over where our writer stops, in a child process, and its file has the source's boundary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edgeai_converters.convert.walk as walk
from edgeai_converters.convert.convert import convert
from edgeai_converters.emit.tflite.flatbuffer import read_model, write_model
from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.spec import ConvertSpec
from edgeai_converters.tools.tflite_boundary import rename_boundary
from edgeai_runtime import load
from edgeai_runtime.errors import UnsupportedOperationError

_NETWORK = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[N,3,8,8] image, float[N,5] bias) => (float[N,5] scores, float[N,4,8,8] maps) {
    maps = Conv<pads = [1, 1, 1, 1]>(image, w) p = GlobalAveragePool(maps) f = Flatten(p)
    z = Gemm(f, k) scores = Add(z, bias) }"""
_BOUNDARY = ["image", "bias", "scores", "maps"]


def _proto() -> onnx.ModelProto:
    proto = onnx.parser.parse_model(_NETWORK)
    random = np.random.default_rng(0)
    for name, shape in {"w": (4, 3, 3, 3), "k": (4, 5)}.items():
        array = random.normal(size=shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ONNX file, and a writer of ours that refuses everything."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedOperationError("The writer has no Conv.")

    monkeypatch.setattr(walk, "write_graph", refuse)
    path = tmp_path / "net.onnx"
    path.write_bytes(_proto().SerializeToString())
    return path


def _names(path: Path) -> list[str]:
    with load(path, threads=1) as model:
        return [spec.name for spec in (*model.inputs, *model.outputs)]


@pytest.mark.openvino
def test_openvino_reads_onnx_itself_with_the_shapes_asked_for(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    spec = ConvertSpec(source=source, format="openvino", precision="float16", batch=2)
    done = convert(spec, tmp_path / "out.xml")
    assert done.route == ("onnx", "openvino reader")
    assert _names(tmp_path / "out.xml") == _BOUNDARY
    assert [spec.shape[0] for spec in (*done.artifact.inputs, *done.artifact.outputs)] == [2, 2, 2, 2]
    assert 0 < done.parity.max_rel < 1e-2


@pytest.mark.openvino
def test_a_tool_that_keeps_the_layout_is_not_asked_to_change_it(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(UnsupportedOperationError, match=r"no Conv.*keeps the source's layout"):
        convert(ConvertSpec(source=source, format="openvino", layout="NHWC"), tmp_path / "out.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.slow
@pytest.mark.litert
def test_onnx2tf_takes_over_with_channels_first_at_the_boundary(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx2tf")
    pytest.importorskip("tf_keras")
    done = convert(ConvertSpec(source=source, format="tflite"), tmp_path / "out.tflite")
    assert done.route == ("onnx", "simplify", "onnx2tf")
    assert _names(tmp_path / "out.tflite") == _BOUNDARY
    assert done.parity.max_rel < 1e-5
    assert [spec.shape for spec in done.artifact.outputs] == [(None, 5), (None, 4, 8, 8)]


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.litert
def test_litert_torch_takes_over_for_exported_programs(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("litert_torch")
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU()).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 8, 8),)), tmp_path / "net.pt2")
    only = tuple(step for step in _steps() if step.way != "trace")
    monkeypatch.setattr("edgeai_converters.routes.STEPS", only)
    done = convert(ConvertSpec(source=tmp_path / "net.pt2", format="tflite"), tmp_path / "out.tflite")
    assert done.route == ("torch", "litert-torch")
    assert done.artifact.inputs[0].shape == (1, 3, 8, 8)
    assert done.parity.max_rel < 1e-5


@pytest.mark.litert
def test_a_boundary_with_numbers_for_names_gets_the_names_of_the_source(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    model = prepare_graph(_proto())
    content = emit_tflite(model, tmp_path).path.read_bytes()
    specs = [{"name": name, "shape": [None], "layout": None} for name in _BOUNDARY]
    (tmp_path / "out.tflite").write_bytes(rename_boundary(_numbered(content), specs[:2], specs[2:]))
    assert _names(tmp_path / "out.tflite") == _BOUNDARY
    with load(tmp_path / "out.tflite", threads=1) as loaded:
        assert [len(spec.shape) for spec in (*loaded.inputs, *loaded.outputs)] == [4, 2, 2, 4]


def test_another_number_of_outputs_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    content = emit_tflite(prepare_graph(_proto()), tmp_path).path.read_bytes()
    specs = [{"name": name, "shape": [None], "layout": None} for name in _BOUNDARY]
    with pytest.raises(UnsupportedOperationError, match=r"2 outputs\. The source has 1"):
        rename_boundary(content, specs[:2], specs[2:3])


def _numbered(content: bytes) -> bytes:
    """Name the boundary as converters do, and turn the order of inputs and outputs in the subgraph around."""
    model = read_model(content)
    graph = model.subgraphs[0]
    for entries, stem in ((model.signatureDefs[0].inputs, "args"), (model.signatureDefs[0].outputs, "output")):
        for number, entry in enumerate(entries):
            entry.name = f"{stem}_{number}"
    for tensor in graph.tensors:
        tensor.name = b"t"
    graph.inputs, graph.outputs = graph.inputs[::-1].copy(), graph.outputs[::-1].copy()
    return write_model(model)


def _steps() -> Any:
    from edgeai_converters.routes import STEPS

    return STEPS
