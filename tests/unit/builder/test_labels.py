"""Class names of a bundle: as they stand in the file, and as many as there are classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai.builder.labels import read_labels
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import TensorSpec

SCORES = TensorSpec(name="scores", shape=(None, 3), dtype="float32")
IMAGE = TensorSpec(name="mask", shape=(1, 3, 8, 8), dtype="float32")
VALUE = TensorSpec(name="value", shape=(None, 1), dtype="float32")


@pytest.mark.parametrize("text", ["a\nb b\nc\n", "\ufeffa\r\nb b\r\nc", "a\nb b\nc\n\n \n"])
def test_names_are_read_without_what_editors_add(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_bytes(text.encode())
    assert read_labels(tmp_path / "labels.txt", [SCORES]) == ["a", "b b", "c"]


@pytest.mark.parametrize("text", ["a\nb", "a\nb\nc\nd", ""])
def test_more_or_fewer_names_than_classes_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(UsageError, match=r"labels\.txt has \d names, and the output 'scores' has 3 classes"):
        read_labels(tmp_path / "labels.txt", [SCORES])


@pytest.mark.parametrize("outputs", [[IMAGE], [VALUE], [SCORES, SCORES]])
def test_names_are_not_counted_where_classes_are_not_known(tmp_path: Path, outputs: list[TensorSpec]) -> None:
    (tmp_path / "labels.txt").write_text("a\nb")
    assert read_labels(tmp_path / "labels.txt", outputs) == ["a", "b"]


def test_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("für".encode("latin-1"))
    with pytest.raises(UsageError, match="cannot be read as UTF-8 text"):
        read_labels(tmp_path / "labels.txt", [SCORES])
