"""`edgeai init`: a file to start from, which says what still has to be named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai.builder.config_read import read_config
from edgeai.cli import main


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Über uns"
    folder.mkdir()
    monkeypatch.chdir(folder)


def test_the_only_model_here_is_the_source_and_names_stay_readable(capsys: pytest.CaptureFixture[str]) -> None:
    Path("Grüße 2.onnx").write_bytes(b"net")
    assert main(["init"]) == 0
    config = read_config(Path("edgeai.toml"))
    assert (config.name, config.models[0].name) == ("Über uns", "Grue-2")
    assert config.models[0].source == Path.cwd() / "Grüße 2.onnx"
    assert "`edgeai build --dry-run`" in capsys.readouterr().out


@pytest.mark.parametrize(("here", "words"), [([], "no model is here"), (["a.onnx", "b.tflite"], "a.onnx, b.tflite")])
def test_a_source_that_stands_for_one_is_told(here: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in here:
        Path(name).write_bytes(b"net")
    assert main(["init"]) == 0
    assert words in capsys.readouterr().out


def test_another_file_is_told_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.onnx").write_bytes(b"net")
    Path("my app").mkdir()
    assert main(["init", "net.onnx", "-o", "my app/edgeai.toml"]) == 0
    assert "`edgeai build 'my app/edgeai.toml' --dry-run`" in capsys.readouterr().out
    assert read_config(Path("my app/edgeai.toml")).models[0].source == Path.cwd() / "net.onnx"


def test_json_says_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.onnx").write_bytes(b"net")
    assert main(["init", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "edgeai.toml", "source": "net.onnx"}


@pytest.mark.parametrize(
    ("data", "code"),
    [("gone.npz", 2), ("gone.npz:images", 2), ("gone.py:load", 2), ("loader:load", 0), ("here.npz", 0)],
)
def test_a_file_of_samples_that_is_not_there_is_told_and_a_function_is_taken(
    data: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("here.npz").write_bytes(b"x")
    assert main(["init", "--data", data]) == code
    assert Path("edgeai.toml").exists() is (code == 0)
