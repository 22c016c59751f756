"""What is asked of the boundary is what the artifact has: layout, sizes, names; parity is checked in that form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeai.inspection import inspect
from edgeai_converters.convert.convert import convert, explain
from edgeai_converters.routes import SUFFIXES
from edgeai_converters.spec import ConvertSpec, Layout
from edgeai_runtime import load
from edgeai_runtime.errors import OutputError, UsageError
from edgeai_runtime.manifest import FORMATS, Format

_PACKAGES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    text = """<ir_version: 8, opset_import: ["" : 18]>
        g (float[N,3,H,8] image, float[N,5] bias) => (float[N,5] scores, float[N,4,H,8] maps) {
        maps = Conv<pads = [1, 1, 1, 1]>(image, w) p = GlobalAveragePool(maps) f = Flatten(p)
        z = Gemm(f, k) scores = Add(z, bias) }"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in {"w": (4, 3, 3, 3), "k": (4, 5)}.items():
        array = random.normal(size=shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("layout", "image", "maps"),
    [(None, (3, 6, 8), (4, 6, 8)), ("NHWC", (6, 8, 3), (6, 8, 4)), ("NCHW", (3, 6, 8), (4, 6, 8))],
)
def test_maps_have_the_layout_asked_for_and_names_stay(
    source: Path,
    tmp_path: Path,
    format: Format,
    layout: Layout | None,
    image: tuple[int, ...],
    maps: tuple[int, ...],
) -> None:
    pytest.importorskip(_PACKAGES[format])
    out = tmp_path / f"out{SUFFIXES[format]}"
    shapes = {"image": (-1, 3, 6, 8)}
    done = convert(ConvertSpec(source=source, format=format, layout=layout, input_shapes=shapes), out)
    assert [spec.name for spec in (*done.artifact.inputs, *done.artifact.outputs)] == [
        "image",
        "bias",
        "scores",
        "maps",
    ]
    assert (done.artifact.inputs[0].layout, done.artifact.outputs[1].layout) == (layout or "NCHW", layout or "NCHW")
    with load(out, threads=1) as model:
        specs = {spec.name: spec.shape for spec in (*model.inputs, *model.outputs)}
    assert {name: shape[1:] for name, shape in specs.items()} == {
        "image": image,
        "bias": (5,),
        "scores": (5,),
        "maps": maps,
    }


@pytest.mark.parametrize("format", FORMATS)
def test_a_batch_and_a_shape_are_fixed_everywhere(source: Path, tmp_path: Path, format: Format) -> None:
    pytest.importorskip(_PACKAGES[format])
    out = tmp_path / f"out{SUFFIXES[format]}"
    done = convert(ConvertSpec(source=source, format=format, batch=3, input_shapes={"image": (-1, 3, 6, 8)}), out)
    expected = {"image": (3, 3, 6, 8), "bias": (3, 5), "scores": (3, 5), "maps": (3, 4, 6, 8)}
    assert {spec.name: spec.shape for spec in (*done.artifact.inputs, *done.artifact.outputs)} == expected
    with load(out, threads=1) as model:
        assert {spec.name: spec.shape for spec in (*model.inputs, *model.outputs)} == expected
    assert done.parity.n % 3 == 0


def test_the_channels_last_file_computes_the_same(source: Path, tmp_path: Path) -> None:
    shapes = {"image": (-1, 3, 6, 8)}
    first, last = tmp_path / "first.onnx", tmp_path / "last.onnx"
    convert(ConvertSpec(source=source, format="onnx", input_shapes=shapes), first)
    convert(ConvertSpec(source=source, format="onnx", layout="NHWC", input_shapes=shapes), last)
    random = np.random.default_rng(5)
    image, bias = random.normal(size=(2, 3, 6, 8)).astype(np.float32), np.ones((2, 5), np.float32)
    with load(first, threads=1) as a, load(last, threads=1) as b:
        scores, maps = a.run_raw([image, bias])
        scores_last, maps_last = b.run_raw([np.ascontiguousarray(image.transpose(0, 2, 3, 1)), bias])
    np.testing.assert_allclose(scores_last, scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(maps_last, maps.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


def test_a_vector_model_is_left_alone_and_unknown_maps_are_told(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N,2,3,4] x) => (float[N,2,3,4] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    done = convert(ConvertSpec(source=tmp_path / "net.onnx", format="onnx", layout="NHWC"), tmp_path / "out.onnx")
    assert done.artifact.inputs[0].shape == (None, 2, 3, 4)
    assert any("layout of 'x' is not known" in note for note in done.notes)


def test_the_source_itself_is_never_overwritten(source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(OutputError, match="source itself"):
        convert(ConvertSpec(source=source, format="onnx"), source, force=True)
    assert source.read_bytes() == before


def test_explaining_runs_nothing_and_tells_what_is_missing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("onnx2tf", "ai_edge_litert") else find_spec(name)
    )
    document = explain(ConvertSpec(source=source, format="tflite")).to_json()
    assert document["kind"] == "onnx"
    own, other = document["routes"]
    assert (own["route"], own["missing"]) == (["onnx", "simplify", "emit tflite"], ["ai_edge_litert"])
    assert own["install"] == 'pip install "edgeai[tflite]"'
    assert "onnx2tf" in other["missing"]
    assert set(own["steps"][0]) >= {"from", "to", "tool", "extra", "cost_s", "fidelity", "note", "missing"}


def test_a_batch_of_nothing_is_refused(source: Path) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        ConvertSpec(source=source, format="onnx", batch=0)


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_model_says_of_itself_is_seen_in_every_artifact(source: Path, tmp_path: Path, format: Format) -> None:
    pytest.importorskip(_PACKAGES[format])
    proto = onnx.load(source)
    onnx.helper.set_model_props(proto, {"author": "Ada Lovelace", "made by/at: tool 1": "é <&>"})
    onnx.save(proto, source)
    out = tmp_path / f"out{SUFFIXES[format]}"
    convert(ConvertSpec(source=source, format=format, input_shapes={"image": (-1, 3, 6, 8)}), out)
    found = inspect(out)
    assert found.metadata == {"author": "Ada Lovelace", "made by/at: tool 1": "é <&>"}
    assert {spec.name: spec.layout for spec in (*found.inputs, *found.outputs)} == {
        "image": "NCHW", "bias": None, "scores": None, "maps": "NCHW"
    }  # fmt: skip
