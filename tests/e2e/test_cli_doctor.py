"""`edgeai doctor MODEL --data D`: a planted defect is found and fixed; a healthy model and wrong usage are told so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeai.cli import main

pytestmark = pytest.mark.onnxruntime


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two dense layers that read 8 features, and samples of it: `healthy.npz`, and `unlike.npz` with a huge feature."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,8] x) => (float[N,4] y) '
        "{ h = MatMul(x, w) r = Relu(h) y = MatMul(r, v) }"
    )
    w, v = random.normal(size=(8, 32)).astype(np.float32), random.normal(size=(32, 4)).astype(np.float32)
    w[0] /= 500
    samples = random.normal(size=(240, 8)).astype(np.float32)
    proto.graph.initializer.extend([onnx.numpy_helper.from_array(w, "w"), onnx.numpy_helper.from_array(v, "v")])
    onnx.save(proto, tmp_path / "net.onnx")
    np.savez(tmp_path / "healthy.npz", x=samples)
    samples[:, 0] *= 500
    np.savez(tmp_path / "unlike.npz", x=samples)
    return tmp_path


def _document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> dict[str, Any]:
    assert main(["doctor", "net.onnx", "--format", "onnx", "--json", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.usefixtures("folder")
def test_a_healthy_model_needs_no_cure(capsys: pytest.CaptureFixture[str]) -> None:
    found = _document(capsys, "--data", "healthy.npz", code=0)
    assert found["ok"]
    assert found["verdict"][0].startswith("Healthy")
    assert len(found["operations"]) == 2


def test_a_planted_defect_is_named_and_fixed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _document(capsys, "--data", "unlike.npz", "--fix", "-o", "fixed.edge", code=0)
    assert not found["healthy"]
    assert [pattern["name"] for pattern in found["patterns"]] == ["unlike_features"]
    int8 = [one for one in found["fixed"]["candidates"] if one["precision"] == "int8"]
    steps = [step for one in int8 for step in one["recipe"] if step["op"] == "quantize"]
    assert set(found["exclude"]) <= set(steps[0]["excluded"])
    assert (folder / "fixed.edge").is_file()


@pytest.mark.usefixtures("folder")
def test_the_table_names_the_culprit_and_the_verdict_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "net.onnx", "--data", "unlike.npz", "--format", "onnx"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("Something is wrong")
    assert "unlike features" in shown
    assert "--fix would try" in shown


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments",
    [["net.onnx", "--fix"], ["net.onnx", "--preprocess", "cast:float32"], ["--data", "healthy.npz"]],
    ids=["fix without data", "steps without data", "data without a model"],
)
def test_options_that_need_another_are_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    assert "--data" in capsys.readouterr().err
