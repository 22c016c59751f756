"""The lock: recipes are found while everything they were found for is the same; what differs is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai.builder.lock import Lock
from edgeai_converters.recipe import Recipe
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step

RECIPE = Recipe(
    format="tflite",
    precision="int8",
    steps=(Step(op="quantize", params={"method": "mse", "excluded": {}}), Step(op="emit", params={"format": "tflite"})),
)
KEY: dict[str, Any] = {
    "step": "search",
    "files": {"source": "a" * 64, "data": "b" * 64},
    "settings": {"metric": "top1", "formats": ["tflite"]},
    "tools": {"numpy": "2.1.0"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lock = Lock(tmp_path / "edgeai.lock")
    lock.set("net/any", KEY, [RECIPE])
    assert lock.save()
    return lock.file


def test_recipes_come_back_as_they_were(file: Path) -> None:
    entry = Lock(file).find("net/any", KEY)
    assert entry is not None
    assert entry.recipes == (RECIPE,)


def test_the_order_of_what_is_set_is_not_in_the_file(tmp_path: Path, file: Path) -> None:
    texts = []
    for names in (("net/any", "net/b"), ("net/b", "net/any")):
        lock = Lock(tmp_path / f"{names[0].replace('/', '-')}.lock")
        for name in names:
            lock.set(name, KEY, [RECIPE])
        lock.save()
        texts.append(lock.file.read_bytes())
    assert texts[0] == texts[1]


def test_an_unchanged_lock_is_not_written(file: Path) -> None:
    lock = Lock(file)
    lock.set("net/any", KEY, [RECIPE])
    assert not lock.save()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": {**KEY["files"], "data": "c" * 64}}, "files.data changed"),
        ({"tools": {"numpy": "2.2.0"}}, "tools.numpy: 2.1.0 → 2.2.0"),
        ({"tools": {**KEY["tools"], "openvino": "2025.3"}}, "tools.openvino is new"),
        ({"settings": {"formats": ["tflite"]}}, "settings.metric is gone"),
    ],
)
def test_a_lock_of_something_else_is_refused_with_what_differs(file: Path, change: dict[str, Any], words: str) -> None:
    key = {**KEY, **change}
    lock = Lock(file)
    assert lock.find("net/any", key) is None
    assert words in str(lock.refuse("net/any", key))


def test_a_target_that_is_not_locked_is_told(file: Path, tmp_path: Path) -> None:
    assert "has no entry for net/b" in str(Lock(file).refuse("net/b", KEY))
    assert "is not there" in str(Lock(tmp_path / "no.lock").refuse("net/b", KEY))


def test_targets_that_are_gone_are_dropped(file: Path) -> None:
    lock = Lock(file)
    lock.keep_only({"net/b"})
    assert lock.save()
    assert Lock(file).find("net/any", KEY) is None


@pytest.mark.parametrize("text", ["<<<<<<< ours", '{"schema": 9}', "[]"])
def test_a_lock_that_can_not_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "edgeai.lock").write_text(text)
    with pytest.raises(UsageError, match=r"edgeai\.lock"):
        Lock(tmp_path / "edgeai.lock")
