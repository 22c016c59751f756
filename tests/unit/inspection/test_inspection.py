"""`edgeai.inspect`: the kind of a file is told by its content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgeai.inspection import inspect
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.errors import BundleError, ModelError, UsageError
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant

Save = Callable[..., Path]
X = TensorSpec(name="x", shape=(None, 6), dtype="float32")
Y = TensorSpec(name="y", shape=(None, 4), dtype="float32")


@pytest.fixture
def dense(save_onnx: Save) -> Path:
    return save_onnx(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((6, 4), np.float32)}, shape=("n", 6)
    )


@pytest.fixture
def bundle(dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    variant = Variant(
        id="onnx-float32",
        format="onnx",
        precision="float32",
        delegates=("onnxruntime:cpu",),
        files=(file_entry("variants/onnx-float32/model.onnx", dense),),
        inputs=(X,),
        outputs=(Y,),
    )
    manifest = Manifest(name="dense", version="1", inputs=(X,), outputs=(Y,), variants=(variant,))
    path = tmp_path / "dense.edge"
    write_bundle(path, manifest, {"variants/onnx-float32/model.onnx": dense})
    return path


def test_a_bundle_shows_each_of_its_variants(bundle: Path, dense: Path) -> None:
    document = inspect(bundle).to_json()
    assert document["format"] == "bundle"
    assert document["size_bytes"] == bundle.stat().st_size
    assert (document["parameters"], document["macs"]) == (24, 24)
    (variant,) = document["variants"]
    assert (variant["id"], variant["declared_precision"], variant["format"]) == ("onnx-float32", "float32", "onnx")
    assert variant["size_bytes"] == dense.stat().st_size


def test_the_document_has_the_keys_of_the_design(dense: Path) -> None:
    document = inspect(dense).to_json()
    keys = {"format", "inputs", "outputs", "operators", "parameters", "macs", "size_bytes", "precision"}
    assert keys <= set(document)
    assert "variants" not in document


def test_a_bundle_that_was_cut_short_is_told_to_be_one(bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes()[:200])
    with pytest.raises(BundleError):
        inspect(bundle)


@pytest.mark.parametrize(
    ("name", "content"), [("m.onnx", b""), ("m.bin", b"words"), ("m.tflite", b"words"), ("m.xml", b"words")]
)
def test_what_is_no_model_is_an_error_that_names_the_file(name: str, content: bytes, tmp_path: Path) -> None:
    if name == "m.tflite":
        pytest.importorskip("ai_edge_litert")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        inspect(tmp_path / name)


def test_a_folder_that_is_no_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"without manifest\.json"):
        inspect(tmp_path)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        inspect(tmp_path / "missing.onnx")
