"""The program of the conversion matrix: which cells are kept, and what the page says of the code that made them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def matrix() -> ModuleType:
    import conversion_matrix

    return conversion_matrix


@pytest.mark.parametrize(
    ("status", "code", "any_code", "done"),
    [
        ("works", "same", False, True),
        ("fails", "same", False, True),
        ("works", "other", False, False),
        ("works", "other", True, True),
        ("fails", "other", True, False),
    ],
)
def test_a_cell_is_kept_when_this_code_made_it_or_when_an_older_success_is_asked_for(
    matrix: ModuleType, tmp_path: Path, status: str, code: str, any_code: bool, done: bool
) -> None:
    cell = matrix.Cell(family="cnn", form="onnx", format="tflite", path=tmp_path)
    digest = matrix.converters_digest()
    matrix.Kept(tmp_path / "cells.json").add(cell, {"status": status}, code=digest if code == "same" else "other")
    assert matrix.Kept(tmp_path / "cells.json").is_done(cell, any_code=any_code) is done


def test_the_page_says_which_code_made_the_cells(matrix: ModuleType, tmp_path: Path) -> None:
    cells = [matrix.Cell(family="cnn", form="onnx", format=format, path=tmp_path) for format in ("tflite", "onnx")]
    results = {
        cell.key: {"status": "works", "route": ["onnx"], "parity": {"max_rel": 1e-7}, "code": code}
        for cell, code in zip(cells, ("aa", "bb"), strict=True)
    }
    machine = {"cpu": "a processor", "cores": "2", "isa": "avx2", "python": "3.11"}
    text = matrix.to_markdown(cells, results, machine=machine, tools={"numpy": "2"}, code="aa")
    assert "2 states of the code (1 cell `aa`, 1 cell `bb`)" in text
    assert "| source | to | result | route, or the reason | gate | check |" in text
    for result in results.values():
        result["code"] = "aa"
    text = matrix.to_markdown(cells, results, machine=machine, tools={"numpy": "2"}, code="aa")
    assert "All were run with one state of the code (digest `aa`)." in text
