"""Tokenizing; BERT's and Keras' own tokenizers are in integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.pipeline import apply_steps

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "the", ",", "run", "##run", "unaff", "é", "中"]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "pieces.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return path


def tokens(vocabulary: Path, text: str, **params: Any) -> list[str]:
    step = Step(op="tokenize", params={"vocabulary": str(vocabulary), "length": 8, **params})
    return [PIECES[number] for number in apply_steps([step], [text])[0]]


def pad(*pieces: str) -> list[str]:
    return [*pieces, *["[PAD]"] * (8 - len(pieces))]


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("The  run", {}, ["the", "run"]),
        ("The run", {"case": "keep"}, ["[UNK]", "run"]),
        ("the,run", {}, ["the", ",", "run"]),
        ("the, run", {"punctuation": "strip"}, ["the", "run"]),
        ("the,run the", {"punctuation": "keep"}, ["[UNK]", "the"]),
        ("unaffable", {}, ["[UNK]"]),
        ("unaffable", {"method": "wordpiece"}, ["unaff", "##able"]),
        ("unrun", {"method": "wordpiece"}, ["un", "##run"]),
        ("unrunx the", {"method": "wordpiece"}, ["[UNK]", "the"]),
        ("É", {}, ["é"]),
        ("É", {"accents": "strip"}, ["[UNK]"]),
        ("the中run", {}, ["the", "中", "run"]),
        ("run", {"begin": "[CLS]", "end": "[SEP]"}, ["[CLS]", "run", "[SEP]"]),
        ("", {}, []),
        ("un" + "run" * 40, {"method": "wordpiece"}, ["[UNK]"]),
    ],
)
def test_a_text_becomes_pieces(vocabulary: Path, text: str, params: dict[str, str], expected: list[str]) -> None:
    assert tokens(vocabulary, text, **params) == pad(*expected)


def test_a_long_text_is_cut_and_keeps_its_end(vocabulary: Path) -> None:
    assert tokens(vocabulary, "the " * 20, begin="[CLS]", end="[SEP]") == ["[CLS]", *["the"] * 6, "[SEP]"]


def test_mask_and_types_go_with_the_pieces(vocabulary: Path) -> None:
    params = {"vocabulary": str(vocabulary), "length": 4, "dtype": "int64"}
    for give, expected in (("mask", [[1, 1, 0, 0], [0, 0, 0, 0]]), ("types", [[0] * 4] * 2)):
        result = apply_steps([Step(op="tokenize", params={**params, "give": give})], ["the run", ""])
        assert result.tolist() == expected
        assert result.dtype == "int64"


def test_a_special_piece_must_be_in_the_vocabulary(vocabulary: Path) -> None:
    with pytest.raises(DataError, match=r"the vocabulary has no '<unk>'"):
        tokens(vocabulary, "the", unknown="<unk>")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", None])
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "words").write_bytes(content)
    with pytest.raises(BundleError, match=r"the vocabulary .*words"):
        tokens(tmp_path / "words", "the")
