"""Managed environments: made once with pip from a package built here, complete or not there, used where needed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgeai_converters.tools.guest as guest
from edgeai_converters.tools import environments
from edgeai_converters.tools.environments import (
    ENVIRONMENTS,
    Environment,
    environment_folder,
    find_interpreter,
    install_environment,
    remove_environment,
    tool_state,
)
from edgeai_runtime.errors import EngineError, MissingEngineError, UnsupportedOperationError, UsageError

_TINY = Environment(requirements=("tinytool==1.0",), modules=("tinytool",), packages=1, size_mib=20)
_GUEST = """
from pathlib import Path
def convert(request):
    import os, sys, tinytool
    if request["mode"] == "refuse":
        return {"refusal": "tinytool has no Erf"}
    if request["mode"] == "crash":
        print("last words", flush=True)
        os.abort()
    if request["mode"] == "raise":
        raise KeyError("lost")
    written = Path(request["folder"]) / "out"
    written.write_text(f"{tinytool.ANSWER} {'edgeai_runtime' in sys.modules} {sys.prefix}")
    return {"written": str(written)}
"""


def _write_wheel(folder: Path, content: str) -> None:
    info = "tinytool-1.0.dist-info"
    with zipfile.ZipFile(folder / "tinytool-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinytool.py", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinytool\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"tinytool.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with one package, which is all that pip sees, and a cache folder of our own."""
    folder = tmp_path_factory.mktemp("packages")
    _write_wheel(folder, "ANSWER = 42\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        patch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(ENVIRONMENTS, "tinytool", _TINY)
        yield folder


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int, str]]:
    return []


@pytest.fixture(scope="module")
def python(packages: Path, steps: list[tuple[int, int, str]]) -> Path:
    return install_environment("tinytool", on_step=lambda *step: steps.append(step))


@pytest.fixture
def guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "guests"
    folder.mkdir()
    shutil.copy(Path(guest.__file__).with_name("guests") / "run.py", folder)
    (folder / "tinytool_guest.py").write_text(_GUEST)
    monkeypatch.setattr(guest, "_GUESTS", folder)
    return tmp_path


def test_an_environment_is_made_with_progress_and_found_again(
    python: Path, steps: list[tuple[int, int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_interpreter("tinytool") == python
    done, totals, labels = zip(*steps, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == totals[-1] == 3
    assert "tinytool: Processing tinytool-1.0-py3-none-any.whl" in labels
    monkeypatch.setattr(environments, "_make", lambda *args: pytest.fail("made twice"))
    assert install_environment("tinytool") == python


def test_what_was_installed_is_written_down_and_nothing_is_left_beside(python: Path) -> None:
    folder = environment_folder("tinytool")
    assert "tinytool==1.0" in (folder / "installed.txt").read_text()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_state_tells_where_a_tool_is(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tool_state("tinytool").runs_in == "managed"
    monkeypatch.setitem(ENVIRONMENTS, "tinytool", Environment(requirements=("json==1",), modules=("json",)))
    assert tool_state("tinytool").runs_in == "here"
    monkeypatch.setitem(ENVIRONMENTS, "tinytool", Environment(requirements=("other==1",), modules=("tinytool",)))
    assert tool_state("tinytool").runs_in == "nowhere"


def test_a_tool_runs_in_its_environment_without_any_package_of_ours(python: Path, guests: Path) -> None:
    answer, ours, prefix = guest.run_guest("tinytool", {"source": "a.onnx", "mode": "write"}, workdir=guests).split()
    assert (answer, ours) == (b"42", b"False")
    assert Path(prefix.decode()) == environment_folder("tinytool")


@pytest.mark.parametrize(
    ("mode", "words"),
    [("refuse", "has no Erf"), ("crash", r"tinytool on a.onnx crashed .SIGABRT(.|\n)*last words"), ("raise", "lost")],
)
def test_what_a_tool_says_becomes_one_error(python: Path, guests: Path, mode: str, words: str) -> None:
    with pytest.raises(Exception, match=words) as raised:
        guest.run_guest("tinytool", {"source": "a.onnx", "mode": mode}, workdir=guests)
    assert isinstance(raised.value, UnsupportedOperationError) == (mode == "refuse")


def test_what_our_own_environment_has_runs_there(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "tinytool", Environment(requirements=("json==1",), modules=("json",)))
    assert guest.interpreter_of("tinytool") == Path(sys.executable)


@pytest.mark.parametrize(
    ("content", "requirement", "words"),
    [
        ("ANSWER = 42\n", "tinytool==2.0", r"pip install tinytool==2.0 failed(.|\n)*No matching distribution"),
        ("raise RuntimeError('broken')\n", "tinytool==1.0", r"Importing tinytool failed(.|\n)*broken"),
    ],
)
def test_a_failed_install_keeps_nothing_and_shows_the_end_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, requirement: str, words: str
) -> None:
    _write_wheel(tmp_path, content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ENVIRONMENTS, "tinytool", Environment(requirements=(requirement,), modules=("tinytool",)))
    with pytest.raises(EngineError, match=words):
        install_environment("tinytool")
    assert find_interpreter("tinytool") is None
    assert list((tmp_path / "cache" / "tools").iterdir()) == []


def test_a_tool_that_is_nowhere_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ENVIRONMENTS, "tinytool", _TINY)
    with pytest.raises(MissingEngineError) as raised:
        guest.run_guest("tinytool", {"source": "a.onnx"}, workdir=tmp_path)
    assert raised.value.hint == "edgeai tools install tinytool"
    assert not (tmp_path / "cache").exists()


def test_an_environment_whose_python_is_gone_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ENVIRONMENTS, "tinytool", _TINY)
    folder = environment_folder("tinytool")
    (folder / "bin").mkdir(parents=True)
    (folder / "installed.txt").write_text("")
    (folder / "bin" / "python").symlink_to(tmp_path / "no-python")
    assert find_interpreter("tinytool") is None
    assert remove_environment("tinytool") == 1
    assert not folder.exists()


def test_an_unknown_tool_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no tool 'onnx3tf'") as raised:
        install_environment("onnx3tf")
    assert "litert-torch" in str(raised.value.hint)


@pytest.mark.parametrize("tool", ENVIRONMENTS)
def test_every_tool_has_a_guest_that_loads_without_its_tool(tool: str) -> None:
    path = Path(guest.__file__).with_name("guests") / f"{tool.replace('-', '_')}_guest.py"
    found = importlib.util.spec_from_file_location("guest", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert callable(module.convert)
