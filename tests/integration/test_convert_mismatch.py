"""A fault planted in a writer or in the graph it gets: `convert` refuses, and names the first wrong tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import edgeai_converters.convert.write as write_graph
import edgeai_converters.emit.tflite.conv as tflite_conv
from edgeai_converters.convert.convert import convert
from edgeai_converters.emit.tflite.padding import Padding
from edgeai_converters.routes import SUFFIXES
from edgeai_converters.spec import ConvertSpec
from edgeai_runtime.errors import ParityError
from edgeai_runtime.manifest import FORMATS, Format

_PACKAGES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}
_NETWORK = """<ir_version: 8, opset_import: ["" : 18]> g (float[N,3,16,16] x) => (float[N,5] z) {
    c0 = Conv<pads = [1, 1, 1, 1]>(x, w0, b) r0 = Relu(c0)
    c1 = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(r0, w1, b) r1 = Relu(c1)
    c2 = Conv<pads = [1, 1, 1, 1]>(r1, w1, b) a = Add(c2, r1) s = Sigmoid(a) m = Mul(a, s)
    p = GlobalAveragePool(m) f = Flatten(p) z = Gemm(f, k) }"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    proto = onnx.parser.parse_model(_NETWORK)
    random = np.random.default_rng(0)
    for name, shape in {"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "b": (8,), "k": (8, 5)}.items():
        array = random.normal(size=shape).astype(np.float32) / 4
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def _edit(model: ir.Model, output: str, change: Callable[[ir.Node], None]) -> ir.Model:
    """Return a copy in which the node that writes `output`, if it is there, is changed by hand."""
    edited = model.clone()
    for node in edited.graph:
        if node.outputs[0].name == output:
            change(node)
    return edited


def _shift(node: ir.Node) -> None:
    node.attributes["pads"] = ir.AttrInt64s("pads", [2, 2, 0, 0])


def _double(node: ir.Node) -> None:
    node.replace_input_with(1, node.inputs[0])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("tensor", "operation", "change", "cause"),
    [("c1", "Conv", _shift, "padding"), ("m", "Mul", _double, "")],
    ids=["wrong padding", "wrong operand"],
)
def test_a_graph_edited_by_hand_is_bisected_to_the_operation(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: Format,
    tensor: str,
    operation: str,
    change: Callable[[ir.Node], None],
    cause: str,
) -> None:
    pytest.importorskip(_PACKAGES[format])
    emit = write_graph.emit

    def falsify(model: ir.Model, *args: Any, **kwargs: Any) -> Any:
        return emit(_edit(model, tensor, change), *args, **kwargs)

    monkeypatch.setattr(write_graph, "emit", falsify)
    monkeypatch.setattr("edgeai_converters.routes.STEPS", _own_steps())
    with pytest.raises(ParityError) as caught:
        convert(ConvertSpec(source=source, format=format), tmp_path / f"out{SUFFIXES[format]}")
    message = caught.value.message
    assert f"The first wrong tensor is '{tensor}', written by {operation}" in message
    assert "its inputs are right" in message or (format, tensor) == ("onnx", "m")  # the file has no such input then
    assert cause in message
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.litert
def test_a_writer_that_pads_wrongly_is_bisected_to_the_convolution(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert")
    resolve = tflite_conv.resolve_padding

    def pad_same(*args: Any) -> Padding:
        """What converters often get wrong: (1, 1) with stride 2 is not SAME."""
        found = resolve(*args)
        return Padding(mode="SAME", before=((0, 0), (0, 0))) if args[-1][0] == 2 else found

    monkeypatch.setattr(tflite_conv, "resolve_padding", pad_same)
    monkeypatch.setattr("edgeai_converters.routes.STEPS", _own_steps())
    with pytest.raises(ParityError, match=r"first wrong tensor is '[cr]1', written by (Conv|Relu)"):
        convert(ConvertSpec(source=source, format="tflite"), tmp_path / "out.tflite")


def test_a_mismatch_is_told_as_data_when_another_route_leads_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    emit = write_graph.emit

    def falsify(model: ir.Model, *args: Any, **kwargs: Any) -> Any:
        return emit(_edit(model, "c1", _shift), *args, **kwargs)

    monkeypatch.setattr(write_graph, "emit", falsify)
    conversion = convert(ConvertSpec(source=source, format="openvino"), tmp_path / "out.xml")
    assert conversion.route == ("onnx", "openvino reader")
    (tried,) = conversion.to_json()["tried"]
    assert (tried["culprit"]["operation"], tried["culprit"]["tensor"]) == ("Conv", "c1")
    assert conversion.parity.max_rel < 1e-4


def _own_steps() -> Any:
    from edgeai_converters.routes import STEPS

    return tuple(step for step in STEPS if step.tool == "edgeai")
