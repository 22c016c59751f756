"""`edgeai convert --explain`: the routes in words and as JSON, before anything is run or written."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from edgeai.cli import main


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N,2] x) => (float[N,2] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_every_route_is_listed_with_its_steps(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(model), "--to", "tflite", "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "1. onnx → simplify → emit tflite" in shown
    assert "simple graph → tflite by onnx2tf" in shown
    assert "Nothing was run." in shown
    assert [path.name for path in model.parent.iterdir()] == ["net.onnx"]


def test_the_routes_are_one_document(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(model), "--to", "openvino", "--explain", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [route["route"] for route in document["routes"]] == [
        ["onnx", "simplify", "emit openvino"],
        ["onnx", "openvino reader"],
    ]
    assert document["routes"][0]["steps"][0]["from"] == "onnx"
    assert document["tolerance"]["reason"]


@pytest.mark.parametrize(
    "arguments", [["--layout", "nhcw"], ["--batch", "0"], ["--precision", "int8"]], ids=lambda words: words[0]
)
def test_options_that_make_no_sense_are_wrong_usage(
    model: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(model), "--to", "onnx", "-o", "out.onnx", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_doctor_refuses_a_format_it_does_not_know(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(model), "--to", "tflit"]) == 2
    assert "Did you mean tflite?" in capsys.readouterr().err
