"""`edgeai compress` as a user types it: words, documents, budgets, interruption and resumption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ai_edge_litert")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
ARGUMENTS = (
    "compress", str(EXAMPLE / "digits.onnx"), "--data", str(EXAMPLE / "digits.npz"),
    "--format", "tflite", "--precision", "float32,int8",
)  # fmt: skip
SCALED = ("--preprocess", "scale:factor=0.0625")
DOCUMENT_KEYS = {"source", "bundle", "best", "candidates", "pareto", "binding_limit"}


def start(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgeai", *ARGUMENTS, "--work", folder / "work", *arguments]
    environment = {**os.environ, "EDGEAI_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [str(each) for each in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )


def compress(*arguments: object, folder: Path) -> tuple[int, str, str]:
    with start(*SCALED, *arguments, folder=folder) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compress")


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    code, out, err = compress("-o", "digits.edge", "--html", "digits.html", "--json", folder=folder)
    assert code == 0, err + out
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_document_has_the_keys_of_the_design(document: dict[str, Any]) -> None:
    assert set(document) >= DOCUMENT_KEYS
    assert document["bundle"] == "digits.edge"
    assert document["binding_limit"] is None
    assert document["best"]["precision"] == "int8"


def test_bundle_and_report_are_written_and_nothing_else(document: dict[str, Any], folder: Path) -> None:
    written = {entry.name for entry in folder.iterdir()} - {"work", "cache"}
    assert written >= {"digits.edge", "digits.html"}
    assert not [name for name in written if name.startswith(".") or name.endswith(".part")]


def test_a_second_run_resumes_and_says_the_same_in_words(document: dict[str, Any], folder: Path) -> None:
    code, out, err = compress("-o", "again.edge", folder=folder)
    assert code == 0, err
    assert f"Best: tflite {document['best']['precision']}" in out
    assert "with 95 % confidence the drop is between" in out
    assert (folder / "again.edge").is_file()


def test_an_existing_bundle_is_refused_at_once(document: dict[str, Any], folder: Path) -> None:
    before = (folder / "digits.edge").read_bytes()
    code, _, err = compress("-o", "digits.edge", folder=folder)
    assert code == 1
    assert "exists already" in err
    assert (folder / "digits.edge").read_bytes() == before


def test_a_budget_that_nothing_meets_gives_the_nearest_and_names_the_limit(
    document: dict[str, Any], folder: Path
) -> None:
    code, out, err = compress("-o", "small.edge", "--max-size", "1KB", "--json", folder=folder)
    found = json.loads(out)
    assert code == 1, err
    assert found["binding_limit"] == "max_size"
    assert found["best"]["status"] == "rejected"
    assert (folder / "small.edge").is_file()


def test_verify_and_run_take_the_bundle(document: dict[str, Any], folder: Path) -> None:
    environment = {**os.environ, "EDGEAI_CACHE": str(folder / "cache")}
    for arguments in (("verify", "digits.edge"), ("run", "digits.edge", "--input", str(EXAMPLE / "digits.npz"))):
        done = subprocess.run(
            [sys.executable, "-m", "edgeai", *arguments, "--json"],
            capture_output=True, text=True, cwd=folder, env=environment, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout).get("ok", True)


def test_a_changed_byte_fails_verification(document: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / "digits.edge").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "bad.edge").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "edgeai", "verify", str(tmp_path / "bad.edge")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "NOT to be trusted" in done.stdout


def test_an_interrupted_run_leaves_no_bundle_and_the_same_command_finishes(tmp_path: Path) -> None:
    with start(*SCALED, "-o", "digits.edge", folder=tmp_path) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "work").glob("*-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the children as well
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err + out
    assert "resumes when it is run again" in err
    assert "Traceback" not in err
    assert {entry.name for entry in tmp_path.iterdir()} <= {"work", "cache"}
    code, out, err = compress("-o", "digits.edge", folder=tmp_path)
    assert code == 0, err + out
    assert (tmp_path / "digits.edge").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "missing.npz"), "missing.npz"),
        (("--metric", "top1x"), "top1x"),
        (("--preprocess", "sclae:factor=2"), "sclae"),
        (("--calibration-data", "missing.npz"), "missing.npz"),
    ],
)
def test_bad_input_is_told_before_anything_is_searched(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with start("-o", "out.edge", *arguments, folder=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode in (1, 2)
    assert message in err
    assert out == ""
    assert not (tmp_path / "out.edge").exists()
