"""The verbs as a whole: help, documentation, wrong usage, and what must be told before any work is done."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import edgeai
from edgeai.cli import main
from edgeai.cli.app import app

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "command-line.md"
VERBS = (
    *("compress", "convert", "distill", "prune", "run", "bench", "inspect", "verify", "keygen", "sign"),
    *("devices", "doctor", "tools", "report", "build", "init", "check", "export", "encrypt"),
    *("diff", "bom", "quantize"),
)
HEAVY = ("tensorflow", "torch", "keras", "onnxruntime", "openvino", "ai_edge_litert", "onnx", "onnx_ir", "scipy", "PIL")


def _options(verb: str) -> list[str]:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    names = [name for parameter in command.params for name in parameter.opts]
    return [name for name in names if name.startswith("--") and name != "--help"]


def test_the_verbs_are_those_of_the_documentation() -> None:
    assert set(typer.main.get_command(app).commands) == set(VERBS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"edgeai {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_every_verb_has_help(verb: str) -> None:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    without = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert [name for name in without if name != "help"] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_each_of_its_options_is_documented(verb: str) -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    section = text.partition(f"## edgeai {verb}\n")[2].partition("\n## ")[0]
    assert section, f"docs/command-line.md has no section for {verb}"
    assert [name for name in _options(verb) if name not in section] == []


def test_the_documentation_names_no_option_that_is_not_there() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    known = {name for verb in VERBS for name in _options(verb)} | {"--help", "--version", "--debug"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgeai {edgeai.__version__}\n"


def test_nothing_heavy_is_imported_to_show_help() -> None:
    script = (
        "import sys; from edgeai.cli import main; main(['compress', '--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["compress"],
        ["compress", "missing.onnx"],
        ["compress", "missing.onnx", "--max-drop", "five"],
        ["compress", "missing.onnx", "--format", "tflit"],
        ["compress", "missing.onnx", "--threads", "0"],
        ["convert", "missing.onnx"],
        ["convert", "missing.onnx", "--to", "coreml"],
        ["convert", "missing.onnx", "--to", "onnx", "--precision", "int8"],
        ["distill", "missing.onnx"],
        ["prune", "missing.onnx"],
        ["prune", "missing.onnx", "--data", "d.npz"],
        ["distill", "missing.onnx", "--teacher", "missing.onnx", "--train-data", "d.npz"],
        ["run", "missing.edge"],
        ["bench"],
        ["bench", "missing.edge"],
        ["inspect", "missing.onnx"],
        ["verify", "missing.edge"],
        ["devices", "rpi99"],
        ["devices", "--colour"],
    ],
)
def test_wrong_usage_ends_with_two_and_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")


def test_wrong_usage_is_told_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", "--json", "--max-drop", "five", "model.onnx"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "UsageError"
    assert "'five'" in error["message"]


def test_a_model_that_is_not_there_offers_the_nearest_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits.onnx").write_bytes(b"x")
    assert main(["inspect", str(tmp_path / "digit.onnx")]) == 2
    assert "Did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_compress_refuses_to_overwrite_before_it_works(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, there = tmp_path / "model.onnx", tmp_path / "there"
    model.write_bytes(b"not looked at")
    there.write_text("mine")
    assert main(["compress", str(model), option, str(there)]) == 1
    assert "--force" in capsys.readouterr().err
    assert there.read_text() == "mine"


def test_convert_refuses_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"not looked at")
    assert main(["convert", str(model), "--to", "tflite", "-o", str(tmp_path / "no" / "m.tflite")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_devices_lists_every_profile_with_how_far_it_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["devices"]
    assert {"rpi4", "rpi5", "arm64", "x86-avx2", "x86-avx512-vnni"} <= {each["id"] for each in listed}
    assert {each["verified"] for each in listed} <= {"none", "emulated", "device"}


def test_one_device_is_shown_with_the_source_of_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "rpi5"]) == 0
    shown = capsys.readouterr().out
    assert "verified: none" in shown
    assert "source: Raspberry Pi 5 launch announcement" in shown


def test_an_unknown_device_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "rpi6"]) == 2
    assert "Did you mean rpi5" in capsys.readouterr().err
