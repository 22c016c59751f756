"""The samples of each case: `training.npz`, `calibration.npz` and `evaluation.npz`, arrays `x` and `y`, made once.

Nothing that is trained on is among the others, compared by content: what equals one of them is left out.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Split = tuple[NDArray[Any], NDArray[np.int64]]
"""Samples `[n, …]` and class indices `[n]`."""

NAMES = ("training", "calibration", "evaluation")

VOCABULARY, LENGTH = 1000, 40
"""Words that a message may have, the rest being one word; words of a message that are read."""

PADDING, UNKNOWN = 0, 1

_WORD = re.compile(r"[a-z]+|[0-9]+|[^\sa-z0-9]")
_DIGITS = {"training": 700, "calibration": 60}
_SMS = {"training": "train", "calibration": "calib", "evaluation": "eval"}


@dataclass(frozen=True, kw_only=True)
class CaseData:
    """The files of one case.

    Attributes:
        folder: where they are.
        preprocess: steps from a sample to the model's input.
    """

    folder: Path
    preprocess: str = ""

    def file(self, name: str) -> str:
        """Return the path of `training`, `calibration` or `evaluation`."""
        return str(self.folder / f"{name}.npz")

    def count(self, name: str) -> int:
        """Return how many samples there are."""
        with np.load(self.file(name)) as arrays:
            return len(arrays["y"])


def write_splits(splits: Mapping[str, Split], folder: Path, *, limit: int | None) -> None:
    """Write the three files; with a limit at most so many samples each, and none twice in training and elsewhere."""
    judged = {bytes(row) for name in NAMES[1:] for row in _rows(splits[name][0])}
    for name in NAMES:
        x, y = splits[name]
        if name == "training":
            fresh = np.array([bytes(row) not in judged for row in _rows(x)], bool)
            x, y = x[fresh], y[fresh]
        np.savez(folder / f"{name}.npz", x=x[:limit], y=y[:limit])


def _rows(x: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(x).reshape(len(x), -1).view(np.uint8)


def read_cifar(assets: Path, *, limit: int | None) -> dict[str, Split]:
    """Return the images, uint8 `[n, 32, 32, 3]`: those to train on decoded from JPEG, those of the test as they are."""
    from PIL import Image

    with np.load(assets / "cifar10" / "cifar10_train_jpeg.npz") as arrays:
        content, offsets, labels = arrays["jpeg"].tobytes(), arrays["offsets"], arrays["y_train"][:limit]
    images = np.empty((len(labels), 32, 32, 3), np.uint8)
    for i in range(len(labels)):
        with Image.open(io.BytesIO(content[offsets[i] : offsets[i + 1]])) as image:
            images[i] = np.asarray(image.convert("RGB"))
    splits: dict[str, Split] = {"training": (images, labels.astype(np.int64))}
    with np.load(assets / "cifar10" / "cifar10_test_jpeg.npz") as arrays:
        for name, key in (("calibration", "calib"), ("evaluation", "eval")):
            splits[name] = arrays[f"x_{key}"], arrays[f"y_{key}"].astype(np.int64)
    return splits


def read_digits() -> dict[str, Split]:
    """Return scikit-learn's digits as float32 `[n, 64]` between 0 and 1, divided under a fixed seed."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    images, labels = (x[order] / 16).astype(np.float32), y[order].astype(np.int64)
    first, second = _DIGITS["training"], sum(_DIGITS.values())
    parts = {"training": slice(first), "calibration": slice(first, second), "evaluation": slice(second, None)}
    return {name: (images[part], labels[part]) for name, part in parts.items()}


def read_messages(assets: Path) -> dict[str, Split]:
    """Return the messages as words, int64 `[n, 40]`, and 1 for spam; words are numbered by the training messages."""
    lines = (assets / "sms_spam" / "sms_spam.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t", 2) for line in lines]
    words = {name: [words_of(text) for split, _, text in rows if split == key] for name, key in _SMS.items()}
    numbers = number_words(words["training"], VOCABULARY)
    labels = {name: [label == "spam" for split, label, _ in rows if split == key] for name, key in _SMS.items()}
    return {name: (encode(words[name], numbers, LENGTH), np.array(labels[name], np.int64)) for name in _SMS}


def words_of(text: str) -> list[str]:
    """Return runs of letters, runs of digits by their length, and other signs one by one.

    >>> words_of("Call 0800-123 NOW!")
    ['call', '#4', '-', '#3', 'now', '!']
    """
    found = _WORD.findall(text.lower())
    return [f"#{min(len(word), 9)}" if word[0].isdigit() and word.isascii() else word for word in found]


def number_words(messages: Sequence[Sequence[str]], size: int) -> dict[str, int]:
    """Return numbers from 2 for the most frequent words, `size` numbers with those of padding and unknown words."""
    counts = Counter(word for message in messages for word in message)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: number for number, word in enumerate(ordered[: size - 2], start=2)}


def encode(messages: Sequence[Sequence[str]], numbers: Mapping[str, int], length: int) -> NDArray[np.int64]:
    """Return the first `length` words of each message as numbers `[n, length]`, padded at the end.

    >>> encode([["a", "b", "c"], ["b"]], {"a": 2, "b": 3}, 2).tolist()
    [[2, 3], [3, 0]]
    """
    rows = np.full((len(messages), length), PADDING, np.int64)
    for row, message in zip(rows, messages, strict=True):
        known = [numbers.get(word, UNKNOWN) for word in message[:length]]
        row[: len(known)] = known
    return rows
