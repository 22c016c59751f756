"""Whether a file can be written is asked without leaving anything behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai.builder.config_read import parse_config
from edgeai.builder.writable import require_writable
from edgeai.cli.build_files import BuildFiles
from edgeai_runtime.errors import EdgeAIError, OutputError

FILE = {"schema": 1, "project": {"name": "app"}, "models": {"net": {"source": "net.onnx", "targets": {"any": {}}}}}


def test_folders_that_are_missing_are_no_error_and_are_not_made(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b.xml", "--junit")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "b.xml").write_text("before")
    require_writable(tmp_path / "b.xml", "--junit")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(("path", "words"), [(".", "is a folder"), ("file/b.xml", "is no folder")])
def test_what_is_in_the_way_is_told_with_the_option(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OutputError, match=f"--junit: .*{words}"):
        require_writable(tmp_path / path, "--junit")


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:  # root is refused nothing
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match=r"--junit: .*Permission denied"):
        require_writable(tmp_path / "b.xml", "--junit")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"junit": "out/a.xml", "summary": "out/../out/a.xml"}, "--summary: .* is the file of --junit already"),
        ({"sarif": "edgeai.toml"}, "--sarif: .* is edgeai.toml already"),
        ({"sarif": "edgeai.lock"}, "--sarif: .* is edgeai.lock already"),
        ({"junit": "net.onnx"}, "--junit: .* is a model already"),
        ({"junit": "."}, "--junit: .* is a folder"),
    ],
)
def test_files_for_ci_that_cannot_be_written_are_told_before_the_build(
    tmp_path: Path, files: dict[str, str], words: str
) -> None:
    config = parse_config(FILE, file=tmp_path / "edgeai.toml")
    (tmp_path / "out").mkdir()
    given = {option: tmp_path / name for option, name in files.items()}
    with pytest.raises(EdgeAIError, match=words):
        BuildFiles(**given).check(config)


def test_one_file_that_cannot_be_written_does_not_keep_the_others_back(tmp_path: Path) -> None:
    (tmp_path / "edgeai.toml").write_text("schema = 1")
    (tmp_path / "a.xml").mkdir()
    document = {"name": "app", "version": "1", "duration_s": 0.0, "targets": [], "lock_written": False}
    files = BuildFiles(junit=tmp_path / "a.xml", summary=tmp_path / "a.md")
    failure = files.write(document, tmp_path / "edgeai.toml")
    assert failure is not None
    assert "a.xml" in failure.message
    assert "app 1" in (tmp_path / "a.md").read_text()
