"""Running one task in a child process: heavy packages stay out of this process, and a crash does not take it down.

The task is `package.module:function`, taking a JSON-able dict and returning one; arrays go through files in the
working folder. In the child this module is the program: `python -m edgeai_converters.sources.child TASK FOLDER`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edgeai_runtime.errors as errors

_REQUEST, _ANSWER, _LOG = "request.json", "answer.json", "child.log"
_TAIL = 12  # lines of the log that an error shows


class ChildError(errors.ModelError):
    """The child crashed or ran too long: nothing is known of the source, and another way may lead on."""


def run_in_child(
    task: str, request: dict[str, Any], *, workdir: Path, what: str, timeout_s: float = 1200.0
) -> dict[str, Any]:
    """Run `task` in a fresh interpreter and return its answer.

    Args:
        task: `package.module:function`.
        request: JSON-able arguments.
        workdir: an existing folder; `request.json`, `answer.json` and `child.log` are written there.
        what: the work, for messages (`"TensorFlow reading model.h5"`).
        timeout_s: seconds after which the child is ended.

    Raises:
        EdgeAIError: the same error that the task raised.
        ModelError: the task raised another error.
        ChildError: it crashed or ran too long; the message has the end of its log.
    """
    command = [sys.executable, "-m", "edgeai_converters.sources.child", task, str(workdir)]
    return run_command(command, request, workdir=workdir, what=what, timeout_s=timeout_s)


def run_command(
    command: Sequence[str], request: dict[str, Any], *, workdir: Path, what: str, timeout_s: float
) -> dict[str, Any]:
    """Run a program that reads `request.json` in the folder and writes `answer.json`; return the answer.

    Args:
        command: the program with its arguments.
        request: as for `run_in_child`, and so are the others and the errors.
        workdir: see there.
        what: see there.
        timeout_s: see there.
    """
    (workdir / _REQUEST).write_text(json.dumps(request), encoding="utf-8")
    (workdir / _ANSWER).unlink(missing_ok=True)
    log = workdir / _LOG
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3", "ORT_DISABLE_TELEMETRY": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ChildError(
                f"{what} did not end within {timeout_s:.0f} seconds.\n{_tail(log)}", hint=f"The log: {log}"
            ) from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        reason = f"crashed ({_signal_name(-code)})" if code < 0 else f"ended with exit code {code}"
        raise ChildError(f"{what} {reason}.\n{_tail(log)}", hint=f"The file may be damaged. The log: {log}")
    answer: dict[str, Any] = json.loads((workdir / _ANSWER).read_text(encoding="utf-8"))
    if "error" in answer:
        raise _rebuild(answer["error"], what)
    return answer


def _rebuild(error: dict[str, str], what: str) -> errors.EdgeAIError:
    kind = getattr(errors, error["type"], None)
    if isinstance(kind, type) and issubclass(kind, errors.EdgeAIError):
        return kind(error["message"], hint=error["hint"])
    return errors.ModelError(f"{what} failed: {error['type']}: {error['message']}", hint=error["hint"])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-_TAIL:])


def _main(task: str, folder: Path) -> None:
    """Run the task of the child; an error becomes the answer."""
    answer: dict[str, Any]
    try:
        module, _, function = task.partition(":")
        request = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
        answer = getattr(importlib.import_module(module), function)(request)
    except errors.EdgeAIError as error:
        answer = {"error": error.to_json()}
    except Exception as error:  # whatever a guest raises becomes one error of ours
        traceback.print_exc()
        message = str(error).strip() or repr(error)
        answer = {"error": {"type": type(error).__name__, "message": message[:2000], "hint": f"Log: {folder / _LOG}"}}
    beside = folder / f"{_ANSWER}.part"
    beside.write_text(json.dumps(answer), encoding="utf-8")
    beside.replace(folder / _ANSWER)
    sys.stdout.flush()
    os._exit(0)  # some guests crash while the interpreter is torn down


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
