"""Open an artifact in a child process first, so that a file that crashes its engine does not take the app down.

In scope: artifacts that do not come from a verified bundle. The child loads the file, runs it once on zeros and ends;
a crash, a hang and a refusal are told apart. A good verdict is kept in the cache by content, engine version, delegate
and machine; a bad one is found again each time. Out of scope: defence against a file made to exploit its engine (the
child runs with the same rights as its parent).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeai_runtime import errors
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import DataError, EdgeAIError, EngineError, ModelError

_LOGGER = logging.getLogger(__name__)
_MARK = "edgeai-verdict:"
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from edgeai_runtime.isolation import main; main()"
_LONGEST_LOG = 1500


def check_in_child(path: Path, *, engine: str, delegate: str, threads: int, timeout_s: float = 120) -> None:
    """Open the artifact `path` in a child process and run it once on zeros.

    Args:
        path: the file an engine opens; files beside it that belong to it count too.
        engine: the engine's name (`litert`, `onnxruntime`, `openvino`).
        delegate: the delegate to load it on.
        threads: as for `Engine.open`.
        timeout_s: how long loading and running may take together.

    Raises:
        ModelError: the file crashes its engine, hangs it, or is refused by it.
        MissingEngineError: the engine is not installed.
        EngineError: the child could not be started.
    """
    path = Path(path).absolute()
    verdict = _verdict_file(path, engine, delegate)
    if verdict is not None and verdict.is_file():
        return
    if not sys.executable:
        raise EngineError(
            f"{path.name} can not be tried in a child process: this program has no Python executable of its own",
            hint="load it with isolate=False when you trust the file",
        )
    request = {"path": str(path), "engine": engine, "delegate": delegate, "threads": threads}
    command = [sys.executable, "-c", _START, json.dumps(sys.path), json.dumps(request)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{path} hangs {engine}: loading it and running it once did not end within {timeout_s:g} s",
            hint="the file is damaged or far too large for this machine; convert it again, or allow more time",
        ) from error
    except OSError as error:
        raise EngineError(f"no child process could be started to try {path.name}: {error}") from error
    _judge(done, path, engine)
    if verdict is not None:
        _remember(verdict, request)


def _judge(done: subprocess.CompletedProcess[bytes], path: Path, engine: str) -> None:
    output, log = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace").strip()
    said = [line for line in output.splitlines() if line.startswith(_MARK)]
    if done.returncode == 0 and said:
        _raise_from(json.loads(said[-1][len(_MARK) :]))
        return
    tail = f"\n  engine log: {log[-_LONGEST_LOG:]}" if log else ""
    hint = (
        "the file is damaged or made for another version of the engine; it was tried in a child process, "
        "so nothing else is affected. Convert it again, or update the engine"
    )
    crash = _signal_name(done.returncode)
    if crash == "SIGKILL":
        hint = "the system ended it, most likely because memory ran out; try on a machine with more memory"
    if crash:
        raise ModelError(f"{path} crashed the engine {engine} (signal {crash}){tail}", hint=hint)
    raise ModelError(f"{path} ended the engine {engine} with exit code {done.returncode}{tail}", hint=hint)


def _signal_name(code: int) -> str:
    """Return the name of the signal that ended the child, or of Windows' exception; empty when it ended by itself."""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return str(-code)
    return f"0x{code:08X}" if code >= 0x80000000 else ""


def _raise_from(verdict: dict[str, Any]) -> None:
    error = verdict.get("error")
    if error is None:
        return
    kind = getattr(errors, str(error["type"]), EngineError)
    if not (isinstance(kind, type) and issubclass(kind, EdgeAIError)):
        kind = EngineError
    raise kind(error["message"], hint=error["hint"])


def _verdict_file(path: Path, engine: str, delegate: str) -> Path | None:
    """Return where the verdict on this content is kept, or `None` when the file can not be read or nothing is kept."""
    from edgeai_runtime.cache import cache_folder

    try:
        digest = hashlib.sha256()
        for file in [path, *_companions(path)]:
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    except OSError:
        return None
    facts = [engine, _engine_version(engine), delegate, platform.machine(), sys.version]
    digest.update("\0".join(facts).encode())
    return cache_folder() / "opened" / digest.hexdigest()


def _companions(path: Path) -> list[Path]:
    """Return the files that belong to an artifact: an IR's weights, an ONNX model's external data by usual names."""
    if path.suffix == ".xml":
        return [file for file in [path.with_suffix(".bin")] if file.is_file()]
    if path.suffix == ".onnx":
        return sorted(f for f in path.parent.glob("*") if f.is_file() and f.suffix in {".data", ".bin", ".weights"})
    return []


def _engine_version(engine: str) -> str:
    """Return the installed version by the package's metadata, without importing the engine."""
    from importlib.metadata import PackageNotFoundError, version

    packages = {"litert": ("ai-edge-litert", "tflite-runtime", "tensorflow")}.get(engine, (engine,))
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _remember(verdict: Path, request: dict[str, Any]) -> None:
    from edgeai_runtime.atomic import write_atomically

    try:
        write_atomically(verdict, json.dumps(request).encode())
    except EdgeAIError as error:  # a read-only device: the file is tried again next time
        _LOGGER.debug("verdict not kept: %s", error)


def main() -> None:
    """Run in the child: open, run once, say how it went on standard output."""
    _forbid_core_dump()
    request = json.loads(sys.argv[2])
    verdict: dict[str, Any] = {}
    try:
        _open_and_run(request)
    except EdgeAIError as error:
        verdict["error"] = error.to_json()
    except Exception as error:
        message = f"{request['engine']} failed on {request['path']}: {type(error).__name__}: {error}"
        verdict["error"] = {"type": "EngineError", "message": message, "hint": ""}
    sys.stdout.write(f"\n{_MARK}{json.dumps(verdict)}\n")
    sys.stdout.flush()
    os._exit(0)  # an engine that crashes while it is torn down has still run the model


def _open_and_run(request: dict[str, Any]) -> None:
    import numpy as np

    path = Path(request["path"])
    session = get_engine(request["engine"]).open(
        path, delegate=request["delegate"], threads=request["threads"], options={}
    )
    arrays = [np.zeros([d or 1 for d in spec.shape], spec.dtype) for spec in session.inputs]
    free = any(None in spec.shape for spec in session.inputs)
    try:
        session.run(arrays)
    except (DataError, EngineError) as error:
        if not free:
            raise ModelError(f"{path} can be loaded, but not run on zeros: {error.message}") from error
        # Sizes of 1 for free dimensions need not suit the model: that it refused them politely is enough.


def _forbid_core_dump() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):  # Windows, or a system that forbids it
        return
