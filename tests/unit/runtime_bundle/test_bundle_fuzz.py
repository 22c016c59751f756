"""Damaged and hostile bundles: whatever the bytes, only edgeai's own errors come out."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.bundle import is_bundle, npz_bytes, open_bundle, verify_bundle
from edgeai_runtime.bundle_arrays import read_npz
from edgeai_runtime.errors import BundleError, EdgeAIError
from edgeai_runtime.manifest_json import dump_manifest, from_json, parse_manifest, to_json

ROUNDS = 300
STRANGE: list[Any] = [
    *(None, True, 0, -1, 2**63, 10**400, 1.5, float("nan"), float("-inf"), "", "..", "/", "\ud800", "a\0b", "x" * 1000),
    *([], [[]], {}, {"": None}, [None] * 3, "edgeai.bundle/1", "variants/small/model.tflite", "float32", b"bytes"),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def mutate_document(document: Any, chance: random.Random) -> Any:
    """Replace, remove, rename or double one or two values."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 2)):
        place = chance.choice(list(places(document)))
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        kind = chance.randrange(4)
        if kind == 0:
            del inner[place[-1]]
        elif kind == 1 and isinstance(inner, dict):
            inner[chance.choice(["x", "", "nmae", 3, "\ud800"])] = inner.pop(place[-1])
        elif kind == 2 and isinstance(inner, list):
            inner.append(copy.deepcopy(inner[place[-1]]))
        else:
            inner[place[-1]] = copy.deepcopy(chance.choice(STRANGE))
        if not document:
            break
    return document


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """Flip, cut, double or insert some bytes."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8])):
        start = chance.randrange(len(data) + 1)
        length = chance.choice([1, 2, 4, 30])
        kind = chance.randrange(5)
        if kind == 0:
            del data[start : start + length]
        elif kind == 1:
            data[start:start] = data[start : start + length]
        elif kind == 2:
            data[start : start + length] = bytes([chance.choice([0, 255, 127, 128])]) * length
        elif kind == 3 and chance.random() < 0.2:
            data = data[:start]
        elif start < len(data):
            data[start] ^= 1 << chance.randrange(8)
    return bytes(data)


def test_a_mutated_document_is_read_or_refused_with_an_error_of_ours(sample: Any) -> None:
    chance = random.Random(1)
    document = to_json(sample.manifest)
    refused = 0
    for _ in range(2 * ROUNDS):
        try:
            from_json(mutate_document(document, chance), where="m")
        except BundleError:
            refused += 1
    assert refused > ROUNDS


def test_mutated_bytes_of_a_manifest_are_read_or_refused_with_an_error_of_ours(sample: Any) -> None:
    chance = random.Random(2)
    content = dump_manifest(sample.manifest)
    refused = 0
    for _ in range(ROUNDS):
        try:
            parse_manifest(mutate_bytes(content, chance), where="m")
        except BundleError:
            refused += 1
    assert refused > ROUNDS // 2


def test_a_mutated_bundle_is_never_opened_with_another_content(sample: Any, tmp_path: Path) -> None:
    chance = random.Random(3)
    path = sample.write(tmp_path / "a.edge")
    content = path.read_bytes()
    refused = 0
    for _ in range(ROUNDS):
        path.write_bytes(mutate_bytes(content, chance))
        try:
            bundle = open_bundle(path, cache=tmp_path / "cache")
        except EdgeAIError:
            refused += 1
            continue
        assert bundle.manifest == sample.manifest
        for entry in bundle.manifest.variants[0].files:
            assert bundle.file(entry).read_bytes() == sample.members[entry.path]
    assert refused > ROUNDS // 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_in_place_of_a_bundle_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.edge")
    assert not is_bundle(tmp_path / "a.edge")
    with pytest.raises(BundleError, match="is a pipe or a device"):
        open_bundle(tmp_path / "a.edge")


def test_verifying_a_mutated_bundle_never_raises(sample: Any, tmp_path: Path) -> None:
    chance = random.Random(4)
    path = sample.write(tmp_path / "a.edge")
    content = path.read_bytes()
    for _ in range(ROUNDS // 2):
        path.write_bytes(mutate_bytes(content, chance))
        assert verify_bundle(path)
        assert is_bundle(path) in (True, False)


def test_a_mutated_file_of_arrays_is_read_or_refused_with_an_error_of_ours(tmp_path: Path) -> None:
    chance = random.Random(5)
    path = tmp_path / "a.npz"
    content = npz_bytes({"x": np.zeros((3, 4), np.float32), "source/y": np.arange(5)})
    for _ in range(ROUNDS):
        path.write_bytes(mutate_bytes(content, chance))
        try:
            read_npz(path, where="t")
        except BundleError:
            continue


@pytest.mark.parametrize("seed", range(3))
def test_a_bundle_with_a_mutated_manifest_is_refused_or_whole(sample: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = sample.write(tmp_path / "folder", as_folder=True)
    document = json.loads((path / "manifest.json").read_bytes())
    for _ in range(ROUNDS // 10):
        try:
            text = json.dumps(mutate_document(document, chance))
        except TypeError:  # bytes, which JSON has not
            continue
        (path / "manifest.json").write_text(text)
        try:
            open_bundle(path)
        except EdgeAIError:
            continue
