"""`edgeai quantize`: one plain file in one precision, which the engine runs, with what it cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeai.cli import main
from edgeai.quantizing import quantize
from edgeai_runtime.errors import ModelError, OutputError, UsageError
from edgeai_runtime.loading import load

pytestmark = pytest.mark.onnxruntime


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `net.onnx`, two layers that tell four blobs apart, and their samples `x.npz`."""
    folder = tmp_path_factory.mktemp("quantize")
    random = np.random.default_rng(0)
    centres = random.normal(size=(4, 64)).astype(np.float32) * 2
    y = np.arange(400) % 4
    x = centres[y] + random.normal(size=(400, 64)).astype(np.float32)
    np.savez(folder / "x.npz", x=x, y=y)
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18]> g (float[N,64] x) => (float[N,4] y) {
        h = MatMul(x, a) r = Relu(h) y = MatMul(r, b) }"""
    )
    arrays = {"a": np.hstack([centres.T, -centres.T]), "b": np.vstack([np.eye(4), -np.eye(4)])}
    for name, array in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(model, folder / "net.onnx")
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    """What `quantize --json` printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        import contextlib
        import io

        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            words = ["--to", "onnx", "--data", "x.npz", "--max-drop", "50%", "--work", "work", "--json"]
            assert main(["quantize", "net.onnx", *words]) == 0
    return dict(json.loads(printed.getvalue()))


def test_it_writes_a_smaller_file_and_says_what_it_lost(document: dict[str, Any], folder: Path) -> None:
    assert document["artifact"] == "net-int8.onnx"
    assert (document["format"], document["precision"]) == ("onnx", "int8")
    assert document["size_bytes"] == (folder / "net-int8.onnx").stat().st_size
    assert document["n"] > 100
    assert abs(document["drop"]) < 0.05
    assert document["drop_ci95"][0] <= document["drop"] <= document["drop_ci95"][1]
    assert document["latency_ms"]["median"] > 0


def test_the_file_computes_in_integers_what_the_source_says(document: dict[str, Any], folder: Path) -> None:
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(folder / "net-int8.onnx").graph.node}
    samples = np.load(folder / "x.npz")
    with load(folder / "net-int8.onnx", isolate=False, threads=1) as model:
        agree = (model(samples["x"]).argmax(1) == samples["y"]).mean()
    assert agree > 0.9


def test_what_was_made_before_is_taken_from_the_work_folder(document: dict[str, Any], folder: Path) -> None:
    done = quantize(
        folder / "net.onnx", folder / "x.npz", to="onnx", max_drop=0.5, out=folder / "again.onnx", work=folder / "work"
    )
    assert done.files == (folder / "again.onnx",)
    assert (folder / "again.onnx").read_bytes() == (folder / "net-int8.onnx").read_bytes()


def test_a_precision_that_needs_samples_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises((ModelError, UsageError), match="int8"):
        quantize(folder / "net.onnx", to="onnx", precision="int8", out=tmp_path / "a.onnx", work=tmp_path)
    assert not (tmp_path / "a.onnx").exists()


def test_nothing_is_overwritten_and_the_name_fits_the_format(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        quantize(folder / "net.onnx", to="onnx", out=folder / "net.onnx")
    with pytest.raises(UsageError, match=r"ends in \.tflite"):
        quantize(folder / "net.onnx", to="tflite", out=tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="precision is one of"):
        quantize(folder / "net.onnx", to="onnx", precision="float32")
