"""The output folder: only what changed is copied, nothing stale stays, and nothing of somebody else's is touched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO

import pytest

from edgeai.builder.deliver import deliver, remove_other_targets
from edgeai.builder.digests import Digests
from edgeai_runtime.errors import OutputError

RECORD = ".edgeai-outputs.json"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "build"


def put(output: Path, *, force: bool = False, **contents: str) -> int:
    made = output.parent / "made"
    made.mkdir(exist_ok=True)
    files = {}
    for name, content in contents.items():
        files[f"{name}.txt"] = made / name
        files[f"{name}.txt"].write_text(content)
    return deliver(output / RECORD, "net/any", files, digests=Digests(output.parent / "digests.json"), force=force)


def test_files_are_copied_once(output: Path) -> None:
    assert put(output, a="1", b="2") == 2
    assert (output / "net/any/b.txt").read_text() == "2"
    before = (output / "net/any/a.txt").stat().st_mtime_ns
    assert put(output, a="1", b="3") == 1
    assert (output / "net/any/a.txt").stat().st_mtime_ns == before


def test_what_this_build_does_not_make_any_more_is_removed(output: Path) -> None:
    put(output, a="1", b="2")
    put(output, a="1")
    assert sorted(file.name for file in (output / "net/any").iterdir()) == ["a.txt"]


def test_the_folders_of_other_targets_stay(output: Path) -> None:
    other = output.parent / "other"
    other.write_text("other")
    deliver(output / RECORD, "net/any2", {"a.txt": other}, digests=Digests(output.parent / "digests.json"))
    put(output, a="1")
    put(output)
    assert (output / "net/any2/a.txt").read_text() == "other"


def test_targets_that_are_gone_leave_nothing_but_what_is_not_ours(output: Path) -> None:
    put(output, a="1", b="2")
    (output / "net/any/b.txt").write_text("changed")
    remove_other_targets(output / RECORD, {"net/other"}, digests=Digests(output.parent / "digests.json"))
    assert [file.name for file in (output / "net/any").iterdir()] == ["b.txt"]


def test_targets_that_there_are_keep_their_files(output: Path) -> None:
    put(output, a="1")
    remove_other_targets(output / RECORD, {"net/any"}, digests=Digests(output.parent / "digests.json"))
    assert put(output, a="1") == 0
    assert (output / "net/any/a.txt").is_file()


def test_a_file_of_somebody_else_is_not_overwritten(output: Path) -> None:
    (output / "net/any").mkdir(parents=True)
    (output / "net/any/a.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"a\.txt is there and was not written by this build[\s\S]*--force"):
        put(output, a="1")
    assert (output / "net/any/a.txt").read_text() == "mine"
    assert put(output, a="1", force=True) == 1


def test_a_file_that_was_changed_by_hand_is_neither_overwritten_nor_removed(output: Path) -> None:
    put(output, a="1")
    (output / "net/any/a.txt").write_text("changed")
    with pytest.raises(OutputError, match="changed since"):
        put(output, a="2")
    put(output)
    assert (output / "net/any/a.txt").read_text() == "changed"


def test_the_same_content_may_lie_there_already(output: Path) -> None:
    (output / "net/any").mkdir(parents=True)
    (output / "net/any/a.txt").write_text("1")
    assert put(output, a="1") == 0


def test_what_another_file_built_into_the_same_folder_is_not_ours(output: Path) -> None:
    put(output, a="1")
    remove_other_targets(output / ".release-outputs.json", {"net/b"}, digests=Digests(output.parent / "digests.json"))
    assert (output / "net/any/a.txt").is_file()


@pytest.mark.parametrize("copied", [0, 1], ids=["before the first file", "between two"])
def test_a_build_that_was_killed_while_it_copied_does_not_take_its_own_files_for_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    record, parts = tmp_path / "out" / ".edgeai-outputs.json", {}
    for version in ("old", "new", "next"):
        parts[version] = {name: tmp_path / f"{version}-{name}" for name in ("a", "b")}
        for file in parts[version].values():
            file.write_text(file.name)
    deliver(record, "net/any", parts["old"], digests=Digests(tmp_path / "digests"))
    real, calls = shutil.copyfileobj, []

    def kill(source: IO[bytes], target: IO[bytes]) -> None:
        calls.append(1)
        if len(calls) > copied:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr("edgeai.builder.deliver.shutil.copyfileobj", kill)
    with pytest.raises(KeyboardInterrupt):
        deliver(record, "net/any", parts["new"], digests=Digests(tmp_path / "digests"))
    monkeypatch.undo()
    deliver(record, "net/any", parts["next"], digests=Digests(tmp_path / "digests"))
    assert [(tmp_path / "out/net/any" / name).read_text() for name in ("a", "b")] == ["next-a", "next-b"]
