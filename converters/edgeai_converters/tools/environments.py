"""Managed environments: a tool whose pins quarrel with everything else gets an interpreter of its own, made once.

Only `install_environment` fetches anything, and only the user calls it (`edgeai tools install NAME`). An environment is
an ordinary venv in the user's cache folder, made beside and renamed, so one that is there is complete and was seen to
import its tool. It belongs to its requirements and to the Python that made it: another Python, or a newer table, does
not find it. Scripts in its `bin` have the name it was made under; we only start its interpreter, which does not care.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeai_converters.progress import OnStep
from edgeai_converters.tools.own_packages import missing_here
from edgeai_converters.workfolder import WorkFolder, folder_of
from edgeai_runtime.cache import CACHE_VARIABLE, cache_folder
from edgeai_runtime.errors import EngineError, UsageError

_TAIL = 12  # lines of pip's words that an error shows


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What one tool needs to live alone.

    Attributes:
        requirements: what pip installs, pinned; together they were seen to install and to convert.
        modules: what must be importable where the tool runs.
        packages: packages that pip installs in all, roughly; for the progress bar.
        size_mib: the size on disk, roughly.
        does: what it is for, in a few words.
        advice: what to know before it is installed.
    """

    requirements: tuple[str, ...]
    modules: tuple[str, ...]
    packages: int = 10
    size_mib: int = 100
    does: str = ""
    advice: str = ""


ENVIRONMENTS: dict[str, Environment] = {
    "onnx2tf": Environment(
        requirements=("onnx2tf==1.29.24",),  # it pins its own numpy, protobuf, onnx and TensorFlow exactly
        modules=("onnx2tf", "tensorflow", "onnx_graphsurgeon", "sng4onnx", "tf_keras"),
        packages=79,
        size_mib=2600,
        does="ONNX → TFLite by way of TensorFlow, another road where ours has no operation",
    ),
    "litert-torch": Environment(
        requirements=("torch==2.13.0", "litert-torch==0.10.0"),
        modules=("litert_torch",),
        packages=75,
        size_mib=2150,
        does="PyTorch → TFLite by Google's converter, another road where ours has no operation",
        advice="On Linux pip takes the torch that brings gigabytes of CUDA, unless it knows PyTorch's index of "
        "CPU wheels first: set PIP_EXTRA_INDEX_URL to it.",
    ),
}
"""Tool → what it needs. Each runs in our own environment where that has its modules already."""


def find_interpreter(name: str) -> Path | None:
    """Return the interpreter of a managed environment, or `None` when it is not installed; nothing is made."""
    folder = environment_folder(name)
    python = _python(folder)
    return python if (folder / "installed.txt").is_file() and python.is_file() else None


@dataclass(frozen=True, kw_only=True)
class ToolState:
    """Where a tool is, for listings: `runs_in` is `here`, `managed` or `nowhere`."""

    name: str
    does: str
    runs_in: str
    folder: Path
    size_mib: int
    requirements: tuple[str, ...]
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Return the object of `edgeai tools --json`."""
        return {**asdict(self), "folder": str(self.folder), "requirements": list(self.requirements)}


def tool_state(name: str) -> ToolState:
    """Return where a tool is; nothing is made or imported.

    Raises:
        UsageError: no such tool.
    """
    environment = _environment(name)
    runs_in = "managed" if find_interpreter(name) is not None else "nowhere"
    return ToolState(
        name=name,
        does=environment.does,
        runs_in=runs_in if missing_here(environment.modules) else "here",
        folder=environment_folder(name),
        size_mib=environment.size_mib,
        requirements=environment.requirements,
        advice=environment.advice,
    )


def environment_folder(name: str) -> Path:
    """Return where the environment of a tool is, or would be."""
    return folder_of(cache_folder() / "tools", name, _key(_environment(name)))


def install_environment(name: str, *, on_step: OnStep | None = None) -> Path:
    """Make the environment of a tool with pip, unless it is there, and return its interpreter.

    Args:
        name: a name of `ENVIRONMENTS`.
        on_step: progress: packages collected, in all (roughly), and what pip does.

    Raises:
        UsageError: no such tool.
        EngineError: pip failed, or the tool does not import; the message has the end of its words.
        OutputError: the cache folder cannot be written.
    """
    environment = _environment(name)
    found = find_interpreter(name)
    if found is not None:
        return found
    tell = on_step or (lambda done, total, label: None)
    work = WorkFolder(cache_folder() / "tools", keep_days=None)
    unusable = environment_folder(name)
    if unusable.exists():  # its Python is gone
        shutil.rmtree(unusable)
    made = work.step(name, _key(environment), lambda folder: _make(name, environment, folder, tell))
    return _python(made)


def remove_environment(name: str) -> int:
    """Remove the environments of a tool, also those of older tables or other Pythons; return how many there were."""
    _environment(name)
    found = [folder for folder in (cache_folder() / "tools").glob(f"{name}-*") if folder.is_dir()]
    for folder in found:
        shutil.rmtree(folder)
    return len(found)


def _environment(name: str) -> Environment:
    if name not in ENVIRONMENTS:
        raise UsageError(f"There is no tool {name!r} to install.", hint=f"Tools: {', '.join(ENVIRONMENTS)}.")
    return ENVIRONMENTS[name]


def _key(environment: Environment) -> Mapping[str, Any]:
    return {
        "requirements": list(environment.requirements),
        "python": list(sys.version_info[:2]),
        "base": sys.base_prefix,
    }


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _make(name: str, environment: Environment, folder: Path, tell: OnStep) -> None:
    total = environment.packages + 2
    tell(0, total, f"{name}: making an environment for Python {sys.version_info[0]}.{sys.version_info[1]}")
    _run([sys.executable, "-m", "venv", os.fspath(folder)], what=f"Making an environment for {name}")
    python = os.fspath(_python(folder))
    pip = [python, "-I", "-m", "pip", "--disable-pip-version-check"]
    collected = 0

    def heard(line: str) -> None:
        nonlocal collected
        word = line.split(" ", 1)[0]
        if word in ("Collecting", "Processing"):
            collected = min(collected + 1, environment.packages)
        if word in ("Collecting", "Processing", "Downloading", "Building", "Installing"):
            tell(collected, total, f"{name}: {_in_short(line)}")

    install = [*pip, "install", "--no-input", "--progress-bar", "off", *environment.requirements]
    _run(install, what=f"pip install {' '.join(environment.requirements)}", heard=heard)
    tell(total - 1, total, f"{name}: importing it once")
    program = f"import importlib; [importlib.import_module(name) for name in {list(environment.modules)!r}]"
    _run([python, "-I", "-c", program], what=f"Importing {', '.join(environment.modules)}")
    listed = _run([*pip, "list", "--format=freeze"], what="pip list")
    (folder / "installed.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
    tell(total, total, f"{name}: done")


def _in_short(line: str) -> str:
    """Return what pip does, without folders and addresses.

    >>> _in_short("Processing /some/where/numpy-2.0.whl (from onnx)")
    'Processing numpy-2.0.whl'
    """
    words = line.split()
    return f"{words[0]} {words[1].rsplit('/', 1)[-1]}" if len(words) > 1 else line


def _run(command: list[str], *, what: str, heard: Callable[[str], None] | None = None) -> list[str]:
    """Run a program and return its lines; each is reported as it comes.

    Raises:
        EngineError: it failed.
    """
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, **quiet},
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if heard is not None and line.strip():
                    heard(line.strip())
            code = process.wait()
        except BaseException:  # interrupted: pip must not go on alone
            process.kill()
            raise
    if code != 0:
        tail = "\n".join(f"  | {line}" for line in lines[-_TAIL:])
        raise EngineError(
            f"{what} failed (exit code {code}).\n{tail}",
            hint=f"Nothing was kept. Check the network and the free space in {cache_folder()} ({CACHE_VARIABLE}).",
        )
    return lines
