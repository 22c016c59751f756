"""The files in `integrations/`: run by their tools where these are here, on a project that was built once."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from onnx import TensorProto, numpy_helper
from onnx import helper as oh

from edgeai_runtime.bundle import open_bundle

pytestmark = pytest.mark.onnxruntime

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "integrations"
BUNDLE = "build/net/pc/net.edge"
TOML = """\
schema = 1

[project]
name = "app"

[models.net]
source = "net.onnx"
data = "data.npz"

[models.net.budget]
max_latency = "1000%"

[models.net.targets.pc]
formats = ["onnx"]
precisions = ["float16"]
"""
BROKEN = '\n[models.net.targets.pc.gates]\nsize = "1B"\n'

Project = Callable[[], Path]


@pytest.fixture(scope="module")
def edgeai(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command line as a program, whatever is on the path."""
    program = tmp_path_factory.mktemp("bin") / "edgeai"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m edgeai "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, edgeai: Path) -> Path:
    """A project that was built, with its lock and the results of its steps."""
    root = tmp_path_factory.mktemp("built") / "app"
    root.mkdir()
    (root / "edgeai.toml").write_text(TOML)
    rng = np.random.default_rng(0)
    np.savez(root / "data.npz", x=rng.normal(size=(96, 16)).astype(np.float32))
    weights = numpy_helper.from_array(rng.normal(size=(16, 512)).astype(np.float32), "w")
    ends = [oh.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 16), ("y", 512))]
    graph = oh.make_graph([oh.make_node("MatMul", ["x", "w"], ["y"])], "net", ends[:1], ends[1:], [weights])
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, root / "net.onnx")
    _run([edgeai, "build", root])
    return root


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of that project: nothing is searched in it any more."""
    return Path(shutil.copytree(built, tmp_path / "app"))


def _run(command: list[Any], *, cwd: Path | None = None, code: int = 0, **environment: str) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode == 0) == (code == 0), done.stdout
    return done.stdout


CMAKE = f"""\
cmake_minimum_required(VERSION 3.16)
project(app LANGUAGES NONE)
list(APPEND CMAKE_MODULE_PATH "{FOLDER.as_posix()}/cmake")
include(EdgeAI)
edgeai_build(models LOCKED ONLY net/pc OUTPUTS {BUNDLE})
add_custom_command(
  OUTPUT "${{CMAKE_BINARY_DIR}}/app.edge"
  COMMAND "${{CMAKE_COMMAND}}" -E copy "${{CMAKE_SOURCE_DIR}}/{BUNDLE}" "${{CMAKE_BINARY_DIR}}/app.edge"
  DEPENDS "${{CMAKE_SOURCE_DIR}}/{BUNDLE}" models)
add_custom_target(app ALL DEPENDS "${{CMAKE_BINARY_DIR}}/app.edge")
"""


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.parametrize(("generator", "program"), [("Unix Makefiles", "make"), ("Ninja", "ninja")])
def test_cmake_builds_the_models_once_and_a_broken_gate_fails_it(
    project: Path, edgeai: Path, generator: str, program: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    shutil.rmtree(project / "build")
    (project / "CMakeLists.txt").write_text(CMAKE)
    folder = project / "out"
    _run(["cmake", "-G", generator, f"-DEDGEAI_EXECUTABLE={edgeai}", "-S", project, "-B", folder])

    _run(["cmake", "--build", folder])
    copy = folder / "app.edge"
    assert open_bundle(copy).manifest.name == "net"
    before = copy.stat().st_mtime_ns
    _run(["cmake", "--build", folder])
    assert copy.stat().st_mtime_ns == before, "nothing changed, and what depends on the models was made again"

    (project / "edgeai.toml").write_text(TOML + BROKEN)
    assert "gate size broken" in _run(["cmake", "--build", folder], code=1)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.parametrize(
    ("call", "words"),
    [("edgeai_build(models WITH net)", "unknown arguments: WITH;net"), ("edgeai_build(m CONFIG no.toml)", "no file")],
)
def test_cmake_says_what_is_wrong_with_a_call(tmp_path: Path, edgeai: Path, call: str, words: str) -> None:
    head = CMAKE.partition("edgeai_build")[0]
    (tmp_path / "CMakeLists.txt").write_text(head + call + "\n")
    told = _run(["cmake", f"-DEDGEAI_EXECUTABLE={edgeai}", "-S", tmp_path, "-B", tmp_path / "out"], code=1)
    assert words in told


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_builds_the_models_once_and_a_broken_gate_fails_it(project: Path, edgeai: Path) -> None:
    shutil.rmtree(project / "build")
    lines = [
        "all: app.edge",
        f"EDGEAI_OUTPUTS := {BUNDLE}",
        f"include {str(FOLDER / 'make' / 'edgeai.mk').replace(' ', chr(92) + ' ')}",
        f"app.edge: {BUNDLE}",
        "\tcp $< $@",
        "",
    ]
    (project / "Makefile").write_text("\n".join(lines))
    command = ["make", f"EDGEAI={edgeai}"]

    _run(command, cwd=project)
    copy = project / "app.edge"
    assert open_bundle(copy).manifest.name == "net"
    before = copy.stat().st_mtime_ns
    _run(command, cwd=project)
    assert copy.stat().st_mtime_ns == before, "nothing changed, and what depends on the models was made again"

    (project / "edgeai.toml").write_text(TOML + BROKEN)
    assert "gate size broken" in _run(command, cwd=project, code=1)


class _File:
    """A file as Bazel shows it to a rule."""

    def __init__(self, path: str, short_path: str) -> None:
        self.path, self.short_path = path, short_path
        self.dirname = path.rpartition("/")[0]


class _Rule:
    """What a rule sees of Bazel: records the action that it declares. `.bzl` files are Python in their syntax."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.action: dict[str, Any] = {}
        self.actions = self

    def args(self) -> _Rule:
        return self

    def add(self, word: str) -> None:
        self.words.append(word)

    def add_all(self, words: list[str]) -> None:
        self.words += words

    def run_shell(self, **action: Any) -> None:
        self.action = action

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.mark.parametrize("locked", [True, False], ids=["with its lock", "without a lock"])
def test_the_action_that_the_bazel_rule_declares_makes_its_outputs(project: Path, edgeai: Path, locked: bool) -> None:
    bazel = _Rule()
    names: dict[str, Any] = {"attr": bazel, "rule": dict, "DefaultInfo": dict, "depset": list}
    exec(compile((FOLDER / "bazel" / "edgeai.bzl").read_text(), "edgeai.bzl", "exec"), names)
    names_of_files = ["net.onnx", "data.npz", *(["edgeai.lock"] if locked else [])]
    sources = [_File(f"app/{name}", f"app/{name}") for name in names_of_files]
    out = _File(f"bazel-out/bin/app/{BUNDLE}", f"app/{BUNDLE}")
    bazel.label = type("Label", (), {"package": "app"})
    bazel.file = type("File", (), {"config": _File("app/edgeai.toml", "app/edgeai.toml")})
    bazel.files = type("Files", (), {"srcs": sources})
    bazel.outputs = type("Outputs", (), {"outs": [out]})
    bazel.attr = type("Attr", (), {"edgeai": str(edgeai), "only": "net/pc"})
    assert names["edgeai_build"]["implementation"](bazel) == [{"files": [out]}]

    shutil.rmtree(project / "build")
    execroot = project.parent
    command = ["bash", "-c", bazel.action["command"], "", *bazel.words]
    told = _run(command, cwd=execroot, code=0 if locked else 1)
    made = execroot / out.path
    assert made.is_file() == locked
    assert ("edgeai.lock" in told) != locked
    assert not (project / "build").exists(), "the action wrote beside its inputs"
    if locked:
        assert open_bundle(made).manifest.name == "net"
        assert [file.name for file in made.parent.iterdir()] == [made.name], "the action left its work behind"


def test_pre_commit_tells_a_lock_that_does_not_match(project: Path, edgeai: Path, tmp_path: Path) -> None:
    pytest.importorskip("pre_commit", reason="pre-commit is not installed")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    for folder in (hooks, project):
        _run([*git, "init", "-q"], cwd=folder)
    _run([*git, "add", "."], cwd=hooks)
    _run([*git, "commit", "-qm", "hooks"], cwd=hooks)
    revision = _run([*git, "rev-parse", "HEAD"], cwd=hooks).strip()
    listed = "[{id: edgeai-lock}, {id: edgeai-build}]"
    config = f"repos:\n- repo: {hooks}\n  rev: {revision}\n  hooks: {listed}\n"
    (project / ".pre-commit-config.yaml").write_text(config)
    _run([*git, "add", ".pre-commit-config.yaml", "edgeai.toml", "edgeai.lock"], cwd=project)
    path = f"{edgeai.parent}{os.pathsep}{os.environ['PATH']}"
    home = str(tmp_path / "home")

    def hook(name: str, stage: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "pre_commit", "run", name, "--all-files", "--hook-stage", stage]
        return _run(command, cwd=project, code=code, PATH=path, PRE_COMMIT_HOME=home)

    hook("edgeai-lock", "pre-commit")
    hook("edgeai-build", "pre-push")
    (project / "edgeai.toml").write_text(TOML.replace('"float16"', '"float32"'))
    assert "edgeai.lock" in hook("edgeai-lock", "pre-commit", code=1)


FILES = [
    "integrations/cmake/EdgeAI.cmake",
    "integrations/make/edgeai.mk",
    "integrations/gradle/edgeai.gradle.kts",
    "integrations/bazel/edgeai.bzl",
    "integrations/github/edgeai.yml",
    "integrations/gitlab/edgeai.gitlab-ci.yml",
    ".pre-commit-hooks.yaml",
]


def test_every_integration_is_in_the_list_of_these_tests() -> None:
    tracked = {file.relative_to(ROOT).as_posix() for file in FOLDER.rglob("*") if file.is_file()}
    assert tracked == {name for name in FILES if name.startswith("integrations/")}


@pytest.mark.parametrize("name", FILES)
def test_options_of_edgeai_build_that_an_integration_names_exist(name: str) -> None:
    from edgeai.cli.app import app

    verb = typer.main.get_command(app).commands["build"]  # type: ignore[attr-defined]
    known = {option for parameter in verb.params for option in parameter.opts}
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--(?!\s)[a-z][a-z-]*", text)) - {"--"}
    assert named, "the pattern of this test finds nothing any more"
    assert {option for option in named if option not in known} == set()


@pytest.mark.parametrize(
    ("name", "grammar"),
    [("gradle/edgeai.gradle.kts", "tree_sitter_kotlin"), ("bazel/edgeai.bzl", "tree_sitter_starlark")],
)
def test_integrations_whose_tool_is_not_here_can_be_parsed(name: str, grammar: str) -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="tree-sitter is not installed")
    language = tree_sitter.Language(pytest.importorskip(grammar, reason=f"{grammar} is not installed").language())
    assert not tree_sitter.Parser(language).parse((FOLDER / name).read_bytes()).root_node.has_error


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".yml")])
def test_jobs_of_ci_run_the_locked_build_and_keep_what_it_tells(name: str) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    document = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    if "jobs" in document:
        steps = document["jobs"]["build"]["steps"]
        runs = [step["run"] for step in steps if "run" in step]
        kept = [step["with"]["sarif_file"] for step in steps if "sarif_file" in step.get("with", {})]
    else:
        runs, kept = document["models"]["script"], document["models"]["artifacts"]["paths"]
        assert document["models"]["artifacts"]["reports"]["junit"] in " ".join(runs)
    (build,) = [shlex.split(run) for run in runs if run.startswith("edgeai ")]
    assert build[:3] == ["edgeai", "build", "--locked"]
    assert build[build.index("--sarif") + 1] in kept
