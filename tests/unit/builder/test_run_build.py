"""What a build refuses before it begins, and that two of them do not work in one folder at a time."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgeai.builder.cache import Cache
from edgeai.builder.config_read import read_config
from edgeai.builder.one_at_a_time import WAITING, one_at_a_time
from edgeai.builder.run_build import run_build
from edgeai_runtime.errors import OutputError, UsageError

FILE = """
schema = 1
[project]
name = "app"
output = "made"
[models.first]
source = "net.onnx"
[models.first.targets.any]
[models.second]
source = "net.onnx"
data = "x.npz"
[models.second.targets.any]
[models.second.targets.any.gates]
not_slower_than = "releases/old.edge"
"""
HOLD = """
import sys
from pathlib import Path
from edgeai.builder.one_at_a_time import one_at_a_time
with one_at_a_time(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "edgeai.toml").write_text(FILE)
    for name in ("net.onnx", "x.npz", "old.edge"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "releases").mkdir()
    (tmp_path / "old.edge").rename(tmp_path / "releases/old.edge")
    return tmp_path


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("x.npz", r"edgeai\.toml: models\.second\.data: there is no file .*x\.npz"),
        ("releases/old.edge", r"edgeai\.toml: models\.second\.targets\.any\.gates\.not_slower_than: there is no file"),
    ],
)
def test_a_missing_file_of_any_target_is_told_before_the_first_is_made(
    folder: Path, gone: str, words: str, dry_run: bool
) -> None:
    (folder / gone).unlink()
    with pytest.raises(UsageError, match=words):
        run_build(read_config(folder / "edgeai.toml"), dry_run=dry_run)
    assert not (folder / ".edgeai").exists()


def test_a_missing_file_of_a_target_that_is_not_asked_for_is_no_error(folder: Path) -> None:
    (folder / "x.npz").unlink()
    assert run_build(read_config(folder / "edgeai.toml"), only="first", dry_run=True).ok


def test_an_output_folder_that_is_a_file_is_told_first(folder: Path) -> None:
    (folder / "made").write_text("a file")
    with pytest.raises(UsageError, match=r"project\.output must be a folder"):
        run_build(read_config(folder / "edgeai.toml"))


def test_a_state_folder_that_can_not_be_made_is_told(folder: Path) -> None:
    (folder / ".edgeai").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*\.edgeai"):
        run_build(read_config(folder / "edgeai.toml"))


def test_nobody_waits_in_a_folder_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:  # root is refused nothing
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with one_at_a_time(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_second_build_waits_until_the_first_ends_even_by_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        told: list[str] = []
        entered = threading.Event()

        def wait_for_it() -> None:
            def on_step(done: int, total: int, label: str) -> None:
                told.append(label)
                first.kill()

            with one_at_a_time(tmp_path, on_step=on_step):
                entered.set()

        thread = threading.Thread(target=wait_for_it)
        thread.start()
        thread.join(timeout=30)
    assert entered.is_set()
    assert told == [WAITING]


def test_a_result_in_a_folder_that_cannot_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    made = cache.make("bundle", {"step": "bundle"}, lambda folder: (folder / "it").touch())

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.utime", refuse)
    assert cache.find("bundle", {"step": "bundle"}) == made


def test_what_is_to_be_made_and_cannot_be_written_is_told_before_anything_is_read(folder: Path) -> None:
    (folder / "edgeai.toml").write_text(FILE.replace('output = "made"', 'output = "net.onnx/made"'))
    with pytest.raises(OutputError, match=r"project\.output: .*net\.onnx is no folder"):
        run_build(read_config(folder / "edgeai.toml"))


@pytest.mark.parametrize("damage", ["", None, "more than there was"], ids=["cut off", "gone", "longer"])
def test_a_result_that_was_restored_in_part_is_made_again(tmp_path: Path, damage: str | None) -> None:
    def make(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "it.json").write_text("[1]")
        (folder / "key.json").write_text("that of the search whose result was taken over")

    cache, key = Cache(tmp_path), {"step": "bundle"}
    file = cache.make("bundle", key, make) / "inner" / "it.json"
    assert cache.find("bundle", key) == file.parent.parent
    if damage is None:
        file.unlink()
    else:
        file.write_text(damage)
    assert cache.find("bundle", key) is None
    assert cache.make("bundle", key, make) == file.parent.parent
    assert file.read_text() == "[1]"
