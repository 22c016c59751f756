"""`edgeai build` as a user types it: made once, up to date after that, the same bytes elsewhere, gates, a signature."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ai_edge_litert")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILE = """
schema = 1
[project]
name = "digits-app"
version = "1.0.0"
[models.digits]
source = "../digits/digits.onnx"
data = "../digits/digits.npz"
preprocess = "scale:factor=0.0625"
postprocess = "softmax"
[models.digits.targets.mcu]
device = "stm32h743"
formats = ["tflite"]
precisions = ["float32"]
outputs = ["bundle", "c"]
[models.digits.targets.mcu.gates]
size = "1MB"
"""
BUNDLE = "build/digits/mcu/digits.edge"
QUIET = """
import sys
from edgeai.cli.app import run
code = run(["build"])
heavy = {"onnx", "onnx_ir", "onnxruntime", "ai_edge_litert", "scipy", "torch", "tensorflow", "openvino"}
print(sorted(heavy & set(sys.modules)))
sys.exit(code)
"""


def start(folder: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "EDGEAI_CACHE": str(folder.parent / "cache"), **environment},
        start_new_session=True,
    )


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the document of a build."""
    with start(folder, "-m", "edgeai", "build", "--json", *arguments, **environment) as process:
        out, err = process.communicate(timeout=300)
    assert out, err
    return process.returncode, json.loads(out)


def project(root: Path, text: str = FILE) -> Path:
    folder = root / "app"
    folder.mkdir(parents=True)
    shutil.copytree(EXAMPLES / "digits", root / "digits", ignore=shutil.ignore_patterns("*.py", "*.md"))
    (folder / "edgeai.toml").write_text(text)
    return folder


def statuses(document: dict[str, Any]) -> dict[str, str]:
    (target,) = document["targets"]
    return {step["name"]: step["status"] for step in target["steps"]}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was built once: the first try was killed in the middle of its search, and went on."""
    folder = project(tmp_path_factory.mktemp("build"))
    process = start(folder, "-m", "edgeai", "build")
    deadline = time.monotonic() + 120
    while not list((folder / ".edgeai").glob("work/artifact-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "build").exists()
    code, document = run(folder)
    assert code == 0, document
    assert document["lock_written"]
    return folder


def changed(app: Path, root: Path, *edits: tuple[str, str]) -> Path:
    """Return a copy of the built project with lines of its file replaced."""
    shutil.copytree(app.parent, root / "copy")
    folder = root / "copy" / app.name
    text = FILE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (folder / "edgeai.toml").write_text(text)
    return folder


def test_a_killed_build_went_on_where_it_was(app: Path) -> None:
    report = json.loads((app / "build/digits/mcu/report.json").read_text())
    assert report["resumed_steps"] > 0
    assert report["within_budget"]


def test_the_bundle_runs_and_holds_nothing_that_was_timed(app: Path) -> None:
    import numpy as np

    import edgeai_runtime as rt

    with np.load(app.parent / "digits/digits.npz") as data, rt.load(app / BUNDLE) as model:
        assert np.argmax(model(data["x"][:1])) == data["y"][0]
        assert model.manifest is not None
        assert (model.manifest.name, model.manifest.version) == ("digits", "1.0.0")
        assert [variant.measurements for variant in model.manifest.variants] == [()]


def test_exports_lie_beside_the_bundle(app: Path) -> None:
    folder = (app / BUNDLE).parent
    assert {file.name for file in folder.iterdir()} == {"digits.edge", "report.json", "c"}
    assert (folder / "c" / "digits_model.c").is_file()


def test_an_unchanged_build_runs_nothing_and_imports_no_engine(app: Path) -> None:
    before = (app / BUNDLE).stat().st_mtime_ns
    with start(app, "-c", QUIET) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "digits/mcu: up to date" in out
    assert out.splitlines()[-1] == "[]"
    assert (app / BUNDLE).stat().st_mtime_ns == before


def test_the_same_lock_gives_the_same_bytes_in_another_folder(app: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "elsewhere")
    shutil.copy(app / "edgeai.lock", folder)
    code, document = run(folder, "--locked")
    assert code == 0, document
    assert statuses(document)["compress"] == "made"
    assert "search" not in statuses(document)
    assert (folder / BUNDLE).read_bytes() == (app / BUNDLE).read_bytes()
    assert (folder / "edgeai.lock").read_bytes() == (app / "edgeai.lock").read_bytes()


def test_a_new_version_makes_the_bundle_again_and_not_the_search(app: Path, tmp_path: Path) -> None:
    folder = changed(app, tmp_path, ("1.0.0", "1.1.0"))
    code, document = run(folder, "--locked")
    assert code == 0, document
    assert statuses(document) == {
        "preflight": "up to date",
        "compress": "up to date",
        "bundle": "made",
        "check": "made",
        "export:c": "made",
        "gate": "made",
    }


def test_changed_data_are_told_before_anything_is_run(app: Path, tmp_path: Path) -> None:
    folder = changed(app, tmp_path)
    (folder.parent / "digits/digits.npz").write_bytes(b"other samples")
    code, document = run(folder, "--dry-run")
    (_, step, *_) = document["targets"][0]["steps"]
    assert (code, step["name"], step["status"]) == (0, "search", "would run")
    assert step["why"] == ["files.data changed"]
    code, document = run(folder, "--locked")
    assert code == 1
    assert "files.data changed" in document["targets"][0]["error"]["message"]


def test_a_broken_gate_fails_the_build_and_nothing_is_delivered(app: Path, tmp_path: Path) -> None:
    folder = changed(app, tmp_path, ('size = "1MB"', 'size = "1KB"'))
    code, document = run(folder, "--junit", "out/junit.xml", "--sarif", "out/it.sarif", "--summary", "out/it.md")
    (target,) = document["targets"]
    (broken,) = [gate for gate in target["gates"] if not gate["ok"]]
    assert (code, document["ok"], broken["name"], broken["limit"]) == (1, False, "size", 1000)
    assert sorted(file.name for file in (folder / "build/digits/mcu").iterdir()) == ["report.json"]
    (result,) = json.loads((folder / "out/it.sarif").read_text())["runs"][0]["results"]
    line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert (result["ruleId"], (folder / "edgeai.toml").read_text().splitlines()[line - 1]) == (
        "edgeai/size",
        'size = "1KB"',
    )
    assert "<failure" in (folder / "out/junit.xml").read_text()
    assert "size" in (folder / "out/it.md").read_text()


def test_a_budget_that_nothing_meets_is_a_broken_gate(app: Path, tmp_path: Path) -> None:
    folder = changed(app, tmp_path, ("[models.digits.targets.mcu]", '[models.digits.budget]\nmax_size = "1KB"\n'
                                     "[models.digits.targets.mcu]"))  # fmt: skip
    before = (folder / "edgeai.lock").read_bytes()
    code, document = run(folder)
    broken = [gate["name"] for gate in document["targets"][0]["gates"] if not gate["ok"]]
    assert (code, broken) == (1, ["budget"])
    assert (folder / "edgeai.lock").read_bytes() == before


def test_keys_encrypt_and_sign_what_passed_and_a_missing_one_is_told_first(app: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from edgeai.signing import generate_keys
    from edgeai_runtime.bundle_verify import verify_bundle
    from edgeai_runtime.trust import Trust

    keys, secret = generate_keys(tmp_path / "release.key"), "0123456789abcdef" * 4
    tables = '[encrypt]\nkey = "env:SECRET"\n[sign]\nkey = "env:RELEASE_KEY"\n'
    folder = changed(app, tmp_path, ("[models.digits]\n", f"{tables}[models.digits]\n"))
    code, document = run(folder, RELEASE_KEY="", SECRET=secret)
    assert (code, document["error"]["type"]) == (2, "UsageError")
    code, document = run(folder, RELEASE_KEY=keys.private.read_text(), SECRET=secret)
    assert code == 0, document
    made = statuses(document)
    assert (made["compress"], made["encrypt"], made["sign"]) == ("up to date", "made", "made")
    assert all(check.ok for check in verify_bundle(folder / BUNDLE, trust=Trust(keys=str(keys.public))))
    assert b"aes-256-gcm" in (folder / BUNDLE).read_bytes()
    written = [line for line in keys.private.read_text().splitlines() if not line.startswith("-----")] + [secret]
    kept = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    assert not any(line.encode() in content for line in written for content in kept)


def test_what_a_compiler_tells_is_in_the_bundle_and_judged(app: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="the simulator of Qualcomm's NPU is not installed (extra emulators)")
    from edgeai_runtime.bundle import open_bundle

    folder = changed(
        app,
        tmp_path,
        ('device = "stm32h743"', 'device = "galaxy-s24-snapdragon"'),
        ('formats = ["tflite"]', 'formats = ["onnx"]'),
        ('outputs = ["bundle", "c"]', 'outputs = ["bundle", "qnn-context"]'),
        ('postprocess = "softmax"', "input_shapes = { image = [1, 1, 8, 8] }"),
        ('size = "1MB"', "coverage = 0.5"),
    )
    code, document = run(folder)
    assert code == 0, document
    assert (folder / "build/digits/mcu/qnn-context/model_ctx.onnx").is_file()
    compiled = open_bundle(folder / BUNDLE).manifest.metadata["compiled"]["qnn-context"]
    assert compiled["operators_on_accelerator"] > 0
    (coverage,) = [gate for gate in document["targets"][0]["gates"] if gate["name"] == "coverage"]
    assert coverage["ok"]


def test_a_name_that_is_not_there_gets_the_nearest(app: Path) -> None:
    code, document = run(app, "--only", "digits/mcv")
    assert (code, document["error"]["hint"]) == (2, "Did you mean digits/mcu?")
