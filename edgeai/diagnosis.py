"""`edgeai.doctor`: is everything here that is needed, and what does this machine mean for quantized models?

Engines are tried in child processes: a wheel built for another processor ends its process with an illegal
instruction, and that must be a line in the report.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

State = Literal["ok", "missing", "warning", "failed"]

_ENGINES = {"litert": "tflite", "onnxruntime": "onnx", "openvino": "openvino"}
"""Engine → the extra that installs it."""

_SOURCE_PACKAGES = {
    "tensorflow": "keras",
    "keras": "keras",
    "tf2onnx": "keras",
    "torch": "torch",
    "onnxscript": "torch",
}
"""Package that sources need → the extra that installs it."""

_BASE_PACKAGES = ("numpy", "onnx", "onnx-ir", "scipy", "pillow")
_OLDEST_PYTHON = (3, 11)
_LITTLE_SPACE_BYTES = 1_000_000_000
_TIMEOUT_S = 120
_PROBE = """
import json, sys
from edgeai_runtime.engines.table import get_engine
info = get_engine(sys.argv[1]).info()
print("edgeai:" + json.dumps([info.present, info.package, info.version, info.reason, info.install]))
"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: `ok`, `missing` (optional and not installed), `warning`, or `failed` (needed and broken)."""

    name: str
    state: State
    detail: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found; `ok` unless something needed is broken."""

    checks: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what is optional may be missing."""
        return all(check.state != "failed" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return `{ok, checks: [{name, state, detail, hint}]}`."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def doctor() -> Diagnosis:
    """Look at Python, packages, engines, the instruction set, the cache and telemetry of this machine.

    Example:
        >>> edgeai.doctor().ok  # doctest: +SKIP
        True
    """
    engines = [_check_engine(name, extra) for name, extra in _ENGINES.items()]
    if all(check.state != "ok" for check in engines):
        engines.append(
            Finding(name="engines", state="failed", detail="no engine works", hint='pip install "edgeai[engines]"')
        )
    return Diagnosis(
        checks=(
            _check_python(),
            _check_edgeai(),
            *(_check_package(name, None) for name in _BASE_PACKAGES),
            *engines,
            *(_check_package(name, extra) for name, extra in _SOURCE_PACKAGES.items()),
            *_check_processor(),
            _check_cache(),
            _check_telemetry(),
        )
    )


def _check_python() -> Finding:
    version = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        return Finding(name="python", state="failed", detail=version, hint="Python 3.11 or newer is needed.")
    return Finding(name="python", state="ok", detail=f"{version} on {platform.system()} {platform.machine()}")


def _check_edgeai() -> Finding:
    from edgeai import __version__

    return Finding(name="edgeai", state="ok", detail=__version__)


def _check_package(name: str, extra: str | None) -> Finding:
    try:
        return Finding(name=name, state="ok", detail=metadata.version(name))
    except metadata.PackageNotFoundError:
        if extra is None:
            return Finding(name=name, state="failed", detail="not installed", hint=f"pip install {name}")
        return Finding(
            name=name, state="missing", detail=f"needed for {extra} sources only", hint=f'pip install "edgeai[{extra}]"'
        )


def _check_engine(name: str, extra: str) -> Finding:
    command = [sys.executable, "-c", _PROBE, name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S,
            check=False, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name=name, state="failed", detail=f"could not be tried: {error}")
    answer = next((line for line in done.stdout.splitlines() if line.startswith("edgeai:")), None)
    if answer is None:
        words = (done.stderr.strip().splitlines() or [""])[-1]
        how = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
        hint = "The wheel may be built for another processor; try another version of it."
        return Finding(name=name, state="failed", detail=f"importing it {how} {words}".strip(), hint=hint)
    present, package, version, reason, install = json.loads(answer.removeprefix("edgeai:"))
    if present:
        return Finding(name=name, state="ok", detail=f"{package} {version}")
    return Finding(name=name, state="missing", detail=reason, hint=install or f'pip install "edgeai[{extra}]"')


def _check_processor() -> tuple[Finding, ...]:
    from edgeai_devices.local import detect_cpu, int8_in_words
    from edgeai_runtime.bench.machine import describe_machine

    cpu = detect_cpu()
    machine = describe_machine()
    where = f"{machine['cpu']}, {machine['usable_cores']} of {machine['cores']} cores"
    found = Finding(name="processor", state="ok", detail=f"{where}; {' '.join(cpu.isa) or 'flags unknown'}")
    if not cpu.known:
        return (found,)
    return (found, Finding(name="int8", state="ok", detail=int8_in_words(cpu.architecture, cpu.isa)))


def _check_cache() -> Finding:
    from edgeai_runtime.cache import CACHE_HINT, cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(name="cache", state="failed", detail=f"{folder} cannot be written: {error}", hint=CACHE_HINT)
    detail = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _LITTLE_SPACE_BYTES:
        return Finding(
            name="cache", state="warning", detail=detail, hint="compress may need more; --work names a folder."
        )
    return Finding(name="cache", state="ok", detail=detail)


def _check_telemetry() -> Finding:
    if os.environ.get("ORT_DISABLE_TELEMETRY") == "0":
        hint = "unset ORT_DISABLE_TELEMETRY"
        return Finding(name="telemetry", state="warning", detail="ONNX Runtime's is on: you switched it on", hint=hint)
    return Finding(name="telemetry", state="ok", detail="none of ours; that of the engines is switched off")
