"""From an OpenVINO IR to every format, and to a bundle, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgeai_converters.emit.openvino import emit_openvino
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.simplify import simplify

for engine in ("openvino", "ai_edge_litert", "onnxruntime"):
    pytest.importorskip(engine)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
NAMES = {"tflite": "out.tflite", "onnx": "out.onnx", "openvino": "out.xml"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    model, _ = simplify(prepare_graph(onnx.load(EXAMPLE / "digits.onnx")))
    return emit_openvino(model, folder, stem="digits").path


def edgeai(*arguments: object, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "edgeai", *(str(each) for each in arguments), "--json"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "EDGEAI_CACHE": str(folder / "cache")},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("format", NAMES)
def test_convert_writes_every_format(format: str, source: Path, tmp_path: Path) -> None:
    found = edgeai("convert", source, "--to", format, "-o", NAMES[format], folder=tmp_path)
    assert found["route"][0] == "openvino reader"
    assert found["parity"]["max_rel"] < 1e-4  # float32 rounding of a small network
    assert (tmp_path / NAMES[format]).is_file()


def test_compress_makes_a_certified_bundle(source: Path, tmp_path: Path) -> None:
    found = edgeai(
        "compress", source, "--data", EXAMPLE / "digits.npz", "--preprocess", "scale:factor=0.0625",
        "--format", "tflite", "--precision", "float32,int8", "-o", "digits.edge", folder=tmp_path,
    )  # fmt: skip
    assert found["best"]["verdict"] == "certified"
    assert (tmp_path / "digits.edge").is_file()
