"""Digests of files: remembered while a file is unchanged, read again when it is not."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from edgeai.builder.digests import Digests
from edgeai_runtime.errors import UsageError

LONG_AGO_S = 1_600_000_000


def written(path: Path, content: bytes, *, at_s: float = LONG_AGO_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at_s, at_s))
    return path


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    file, kept = written(tmp_path / "x.npz", b"samples"), tmp_path / "digests.json"
    first = Digests(kept)
    assert first.of(file) == sha256(b"samples").hexdigest()
    first.save()
    second = Digests(kept)
    assert (second.of(file), second.read) == (first.of(file), 0)


@pytest.mark.parametrize(("content", "at_s"), [(b"SAMPLES", LONG_AGO_S + 1), (b"more samples", LONG_AGO_S)])
def test_a_changed_file_is_read_again(tmp_path: Path, content: bytes, at_s: float) -> None:
    file, kept = written(tmp_path / "x.npz", b"samples"), tmp_path / "digests.json"
    first = Digests(kept)
    first.of(file)
    first.save()
    written(file, content, at_s=at_s)
    assert Digests(kept).of(file) == sha256(content).hexdigest()


def test_a_file_that_was_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    file, kept = tmp_path / "x.npz", tmp_path / "digests.json"
    file.write_bytes(b"samples")
    first = Digests(kept)
    first.of(file)
    first.save()
    second = Digests(kept)
    second.of(file)
    assert second.read == 1


def test_a_folder_has_the_digest_of_its_names_and_contents(tmp_path: Path) -> None:
    written(tmp_path / "one" / "a" / "x.png", b"x")
    written(tmp_path / "same" / "a" / "x.png", b"x")
    written(tmp_path / "other" / "b" / "x.png", b"x")
    digests = Digests(tmp_path / "digests.json")
    found = [digests.of(tmp_path / name) for name in ("one", "same", "other")]
    assert found[0] == found[1] != found[2]


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    file, kept = written(tmp_path / "x.npz", b"samples"), tmp_path / "digests.json"
    first = Digests(kept)
    first.of(file)
    first.save()
    file.unlink()
    Digests(kept).save()
    assert kept.read_text() == "{}"


def test_a_damaged_memory_is_no_error(tmp_path: Path) -> None:
    file = written(tmp_path / "x.npz", b"samples")
    (tmp_path / "digests.json").write_text("{")
    assert Digests(tmp_path / "digests.json").of(file) == sha256(b"samples").hexdigest()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x\.npz cannot be read"):
        Digests(tmp_path / "digests.json").of(tmp_path / "x.npz")
