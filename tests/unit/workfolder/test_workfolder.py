"""A finished step is found again; an unfinished one leaves nothing behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgeai_converters.workfolder import WorkFolder, digest_of, digest_of_path
from edgeai_runtime.errors import OutputError


def _write(text: str):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> None:
        (folder / "value.txt").write_text(text)

    return make


def test_a_step_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = WorkFolder(tmp_path).step("add", {"a": 1}, _write("one"))
    again = WorkFolder(tmp_path)
    assert again.step("add", {"a": 1}, _write("two")) == first
    assert (first / "value.txt").read_text() == "one"
    assert again.reused == 1


def test_another_key_is_another_step(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    assert work.step("add", {"a": 1}, _write("one")) != work.step("add", {"a": 2}, _write("two"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken")])
def test_an_interrupted_step_leaves_nothing_and_is_made_again(tmp_path: Path, error: BaseException) -> None:
    def make(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise error

    work = WorkFolder(tmp_path)
    with pytest.raises(type(error)):
        work.step("add", {}, make)
    assert list(tmp_path.iterdir()) == []
    assert (work.step("add", {}, _write("whole")) / "value.txt").read_text() == "whole"


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    dead = tmp_path / ".making-999999999-add-0"
    dead.mkdir()
    WorkFolder(tmp_path)
    assert not dead.exists()


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"step 'add'.*No space left"):
        WorkFolder(tmp_path).step("add", {}, make)


def test_the_digest_of_a_folder_depends_on_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = digest_of_path(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = digest_of_path(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, renamed, digest_of_path(tmp_path)}) == 3


def test_the_digest_of_a_value_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": (2, 3)}) == digest_of({"b": [2, 3], "a": 1})


def test_the_steps_not_asked_for_longest_make_room(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    steps = [work.step("add", {"a": number}, _write("x" * 1000)) for number in range(3)]
    for step, hours in zip(steps, (3, 4, 0), strict=True):
        asked = time.time() - hours * 3600
        os.utime(step / "key.json", (asked, asked))
    WorkFolder(tmp_path, keep_bytes=2500)
    assert [step.exists() for step in steps] == [True, False, True]
    WorkFolder(tmp_path, keep_bytes=0)
    assert [step.exists() for step in steps] == [False, False, True]


def test_steps_are_kept_for_ever_when_asked_so(tmp_path: Path) -> None:
    step = WorkFolder(tmp_path).step("add", {}, _write("one"))
    os.utime(step / "key.json", (0, 0))
    WorkFolder(tmp_path, keep_days=None)
    assert step.exists()
    WorkFolder(tmp_path)
    assert not step.exists()
