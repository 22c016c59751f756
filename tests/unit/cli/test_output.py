"""JSON, words for numbers, and the guards before work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeai.cli import output
from edgeai_runtime.errors import OutputError, UsageError


def test_json_is_one_document_without_numbers_that_json_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json(
        {"a": float("nan"), "b": [np.float32(1.5), np.arange(3)], "c": Path("x"), "d": (1, None), "e": "é"}
    )
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, [0, 1, 2]], "c": "x", "d": [1, None], "e": "é"}


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (98_200, "98.2 KB"), (1_240_000, "1.24 MB"), (None, "-")]
)
def test_sizes_are_in_decimal_units(size: int | None, words: str) -> None:
    assert output.bytes_in_words(size) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.03123, "0.0312"), (4.267, "4.27"), (99.97, "100"), (154.6, "155"), (12345.6, "12346")]
)
def test_three_digits_never_leave_a_bare_point_or_an_exponent(value: float, words: str) -> None:
    assert output.three_digits(value) == words


def test_a_free_dimension_is_a_question_mark() -> None:
    assert output.shape_in_words((None, 3, 8)) == "[?, 3, 8]"


def test_a_file_that_exists_is_refused_and_force_allows_it(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        output.require_free(there, force=False)
    output.require_free(there, force=True)


def test_text_is_written_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    output.write_text(tmp_path / "report.html", "<p>é</p>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_lines_lose_blank_ones_at_the_end_only(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("zero\n\ntwo \n\n")
    assert output.read_lines(tmp_path / "labels.txt") == ("zero", "", "two")


def test_a_label_file_that_is_no_text_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a UTF-8 text file"):
        output.read_lines(tmp_path / "labels.txt")
