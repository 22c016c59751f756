"""Open an artifact in a child process first, so that a file that crashes its engine does not take the app down.

In scope: artifacts that do not come from a verified bundle. The child loads the file, runs it once on zeros and ends;
a crash, a hang and a refusal are told apart. A good verdict is kept in the cache by content, engine version, delegate
and machine; a bad one is found again each time. The child gives up what it does not need first (`confinement.py`): a
file made to exploit its engine gets no network, no other program and hardly a place to write to, but it is no jail.

`call_in_child` is the mechanism alone, for other work that must not take its caller down or needs a fresh process.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai_runtime import errors
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import DataError, EdgeAIError, EngineError, ModelError

_LOGGER = logging.getLogger(__name__)
_MARK = "edgeai-result:"
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from edgeai_runtime.isolation import main; main()"
_LONGEST_LOG = 1500


def check_in_child(
    path: Path,
    *,
    engine: str,
    delegate: str,
    threads: int,
    options: Mapping[str, str] | None = None,
    timeout_s: float = 120,
) -> None:
    """Open the artifact `path` in a child process and run it once on zeros.

    Args:
        path: the file an engine opens; files beside it that belong to it count too.
        engine: the engine's name (`litert`, `onnxruntime`, `openvino`).
        delegate: the delegate to load it on.
        threads, options: as for `Engine.open`.
        timeout_s: how long loading and running may take together.

    Raises:
        ModelError: the file crashes its engine, hangs it, or is refused by it.
        MissingEngineError: the engine is not installed.
        EngineError: the child could not be started.
    """
    path = Path(path).absolute()
    verdict = _verdict_file(path, engine, delegate, options or {})
    if verdict is not None and verdict.is_file():
        return
    request = {
        "path": str(path),
        "engine": engine,
        "delegate": delegate,
        "threads": threads,
        "options": dict(options or {}),
    }
    found = call_in_child(
        "edgeai_runtime.isolation:open_and_run_once",
        request,
        timeout_s=timeout_s,
        what=f"{path} in the engine {engine}",
        confined=True,
    )
    _LOGGER.debug("tried %s in a child process without %s", path, ", ".join(found["confined"]))
    if verdict is not None:
        _remember(verdict, {**request, **found})


def call_in_child(
    function: str,
    request: Mapping[str, Any],
    *,
    timeout_s: float,
    what: str,
    confined: bool = False,
    start: str = _START,
) -> dict[str, Any]:
    """Call `function(request)` in a fresh process and return the dict it returns.

    Args:
        function: `package.module:name`; takes one dict and returns a dict (or `None` for an empty one), both JSON.
        request: its argument. Its `environment` becomes variables of the child instead, which other users cannot read.
        timeout_s: after that the child is killed.
        what: what is tried, for messages: "model.onnx in the engine onnxruntime".
        confined: the child first gives up what `confinement.confine` takes away; the result says so as `confined`.
        start: the child's program, for one that has to do something before it comes to `main` here.

    Raises:
        ModelError: the child crashed (the message names the signal), ended early, or did not end in time.
        EngineError: the child could not be started, or the function failed with an error that is not one of ours.
        EdgeAIError: the error of ours that the function raised.
    """
    if not sys.executable:
        raise EngineError(
            f"{what} cannot be tried in a child process: this program has no Python executable of its own",
            hint="load it with isolate=False when you trust the file",
        )
    task: dict[str, Any] = {"function": function, "request": dict(request)}
    variables = {**os.environ, **task["request"].pop("environment", {})}
    if confined:
        from edgeai_runtime.cache import cache_folder

        task["confine"] = {"seconds": timeout_s, "cache": str(cache_folder())}
    arguments = json.dumps(task)
    command = [sys.executable, "-c", start, json.dumps(sys.path), arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False, env=variables
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{what} hangs: loading and running it did not end within {timeout_s:g} s",
            hint="the file is damaged or far too large for this machine; convert it again, or allow more time",
        ) from error
    except OSError as error:
        raise EngineError(f"no child process could be started to try {what}: {error}") from error
    return _result(done, what)


def _result(done: subprocess.CompletedProcess[bytes], what: str) -> dict[str, Any]:
    output, log = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace").strip()
    said = [line for line in output.splitlines() if line.startswith(_MARK)]
    if done.returncode == 0 and said:
        result: dict[str, Any] = json.loads(said[-1][len(_MARK) :])
        if "error" in result:
            raise _error_from(result["error"])
        return dict(result["value"])
    tail = f"\n  engine log: {log[-_LONGEST_LOG:]}" if log else ""
    hint = (
        "the file is damaged or made for another version of the engine; it was tried in a child process, "
        "so nothing else is affected. Convert it again, or update the engine"
    )
    crash = _signal_name(done.returncode)
    if crash == "SIGKILL":
        hint = "the system ended it, most likely because memory ran out; try on a machine with more memory"
    elif crash == "SIGXCPU":
        hint = "it computed for longer than any model does; do not use this file"
    if crash:
        raise ModelError(f"{what} crashed (signal {crash}){tail}", hint=hint)
    raise ModelError(f"{what} ended its process with exit code {done.returncode}{tail}", hint=hint)


def _signal_name(code: int) -> str:
    """Return the name of the signal that ended the child, or of Windows' exception; empty when it ended by itself."""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return str(-code)
    return f"0x{code:08X}" if code >= 0x80000000 else ""


def _error_from(document: Mapping[str, str]) -> EdgeAIError:
    kind = getattr(errors, document["type"], None)
    if not (isinstance(kind, type) and issubclass(kind, EdgeAIError)):
        kind = EngineError
    return kind(document["message"], hint=document["hint"])


def main() -> None:
    """Run in the child: call what was asked for and say on standard output how it went."""
    _forbid_core_dump()
    task = json.loads(sys.argv[2])
    result: dict[str, Any]
    try:
        module, _, name = task["function"].partition(":")
        given_up: dict[str, Any] = {}
        if "confine" in task:
            from edgeai_runtime.confinement import confine

            given_up["confined"] = confine(**task["confine"])
        value = getattr(importlib.import_module(module), name)(task["request"])
        result = {"value": {**(value if value is not None else {}), **given_up}}
    except EdgeAIError as error:
        result = {"error": error.to_json()}
    except Exception as error:
        message = f"{task['function']} failed: {type(error).__name__}: {error}"
        result = {"error": {"type": "EngineError", "message": message, "hint": ""}}
    sys.stdout.write(f"\n{_MARK}{json.dumps(result)}\n")
    sys.stdout.flush()
    os._exit(0)  # an engine that crashes while it is torn down has still done its work


def open_and_run_once(request: Mapping[str, Any]) -> None:
    """Open the artifact of `check_in_child`'s request and run it on zeros; called in the child."""
    path = Path(request["path"])
    session = get_engine(request["engine"]).open(
        path, delegate=request["delegate"], threads=request["threads"], options=request["options"]
    )
    run_on_zeros(session, str(path))


def run_on_zeros(session: Session, what: str) -> None:
    """Run a session once on zeros, with free dimensions of 1; that it refuses such sizes politely is no error.

    Raises:
        ModelError: `what` cannot be run on zeros although all its dimensions are fixed.
    """
    import numpy as np

    arrays = [np.zeros([d or 1 for d in spec.shape], spec.dtype) for spec in session.inputs]
    try:
        session.run(arrays)
    except (DataError, EngineError) as error:
        if not any(None in spec.shape for spec in session.inputs):
            raise ModelError(f"{what} can be loaded, but not run on zeros: {error.message}") from error


def _verdict_file(path: Path, engine: str, delegate: str, options: Mapping[str, str]) -> Path | None:
    """Return where the verdict on this content is kept, or `None` when the file cannot be read or nothing is kept."""
    from edgeai_runtime.cache import cache_folder
    from edgeai_runtime.installed import engine_version

    try:
        digest = hashlib.sha256()
        for file in [path, *companions(path)]:
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    except OSError:
        return None
    facts = [
        engine,
        engine_version(engine),
        delegate,
        *map(str, sorted(options.items())),
        platform.machine(),
        sys.version,
    ]
    digest.update("\0".join(facts).encode())
    return cache_folder() / "opened" / digest.hexdigest()


def companions(path: Path) -> list[Path]:
    """Return the files that belong to an artifact: an IR's weights, an ONNX model's external data by usual names."""
    if path.suffix == ".xml":
        return [file for file in [path.with_suffix(".bin")] if file.is_file()]
    if path.suffix == ".onnx":
        return sorted(f for f in path.parent.glob("*") if f.is_file() and f.suffix in {".data", ".bin", ".weights"})
    return []


def _remember(verdict: Path, request: dict[str, Any]) -> None:
    from edgeai_runtime.atomic import write_atomically

    try:
        write_atomically(verdict, json.dumps(request).encode())
    except EdgeAIError as error:  # a read-only device: the file is tried again next time
        _LOGGER.debug("verdict not kept: %s", error)


def _forbid_core_dump() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):  # Windows, or a system that forbids it
        return
