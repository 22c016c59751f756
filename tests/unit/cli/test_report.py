"""`edgeai report`: a stored document becomes a page; nothing is overwritten, nothing else is accepted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai.cli.app import run

RUN = {"artifact": "m/net.onnx", "format": "onnx", "engine": "onnxruntime", "delegate": "onnxruntime:cpu",
       "placement": {"cpu": 1.0}, "threads": 1, "scenario": "single_stream", "latency_ms": {"median": 1.5}}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema": "edgeai.bench/1", "runs": [RUN], "comparisons": []}), encoding="utf-8")
    return path


def test_the_page_lies_beside_the_results(results: Path) -> None:
    assert run(["report", str(results)]) == 0
    page = results.with_suffix(".html").read_text(encoding="utf-8")
    assert "net.onnx" in page
    assert "1.5 ms" in page


def test_json_names_the_page(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = results.with_name("page.html")
    assert run(["report", str(results), "-o", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(page), "size_bytes": page.stat().st_size}


def test_a_page_is_not_overwritten_without_force(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = results.with_suffix(".html")
    page.write_text("mine", encoding="utf-8")
    assert run(["report", str(results)]) == 1
    assert "--force" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "mine"
    assert run(["report", str(results), "--force"]) == 0


@pytest.mark.parametrize("content", ["{}", '{"schema": "x/9", "runs": []}', "oops"])
def test_another_document_is_wrong_usage(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    assert run(["report", str(path)]) == 2
    assert not path.with_suffix(".html").exists()
