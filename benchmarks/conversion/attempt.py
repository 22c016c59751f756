"""One attempt at one cell: `edgeai convert --json` in a child process, then checked by us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from conversion.cells import Cell

SUFFIXES = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}
CHECK_LIMIT = 1e-3  # of the largest output; what converts right is far below, a wrong layout or order far above
_ROOT = Path(__file__).resolve().parents[2]
_PATHS = tuple(str(_ROOT / folder) for folder in ("benchmarks", ".", "converters", "devices", "runtime"))
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child process ended: what it printed, how long it took, and the peak of its and its children's memory.

    The peak is 0 when it was not watched.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    peak_mib: float


def attempt(cell: Cell, *, limit_s: float, cache: Path) -> dict[str, Any]:
    """Convert one cell and return what happened: `status` and what belongs to it.

    Args:
        cell: the cell.
        limit_s: the longest time of a conversion, and of its check.
        cache: edgeai's cache folder, where it keeps what it read from a source for the next format.

    The status is `works`; `wrong` when edgeai wrote a file whose outputs are not those that the framework gave when
    the family was saved; `fails` with the error; `refused`, the right answer to a file that cannot be converted; or
    `missing` when the framework could not save such a source.
    """
    if cell.missing:
        return {"status": "missing", "reason": cell.missing}
    with tempfile.TemporaryDirectory(prefix="edgeai-matrix-") as folder:
        out = Path(folder) / f"model{SUFFIXES[cell.format]}"
        ended = run(_command(cell, out), limit_s=limit_s, cache=cache, with_memory=False)
        result: dict[str, Any] = {"seconds": ended.seconds}
        document = _document(ended.stdout)
        if ended.code != 0 or document is None or "error" in document:
            error = (document or {}).get("error") or _unclear(ended, limit_s)
            refused = bool(cell.refusal) and error["type"] not in ("Crash", "Timeout", "Traceback")
            return {**result, "status": "refused" if refused else "fails", "error": error}
        result |= {key: document[key] for key in ("route", "parity", "size_bytes", "notes", "operators", "reused")}
        if cell.probe is None:
            if cell.refusal:
                return {
                    **result,
                    "status": "fails",
                    "error": {"type": "Not refused", "message": cell.refusal, "hint": ""},
                }
            return {**result, "status": "works"}
        checking = [sys.executable, "-m", "conversion.check", str(out), str(cell.probe)]
        check = run(checking, limit_s=limit_s, cache=cache, with_memory=False)
        result["check"] = _document(check.stdout) or {"error": _unclear(check, limit_s)["message"]}
        right = result["check"].get("max_rel", float("inf")) <= CHECK_LIMIT
        return {**result, "status": "works" if right else "wrong"}


def run(command: list[str], *, limit_s: float, cache: Path, with_memory: bool = True) -> Ended:
    """Run a command in a process group of its own; end the whole group when it takes too long.

    Args:
        command: the program with its arguments.
        limit_s: the longest time.
        cache: edgeai's cache folder for it; an empty one, where its time matters.
        with_memory: whether to watch the memory of it and its children, which takes time itself.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "ORT_DISABLE_TELEMETRY": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["EDGEAI_CACHE"] = str(cache)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [*_PATHS, os.environ.get("PYTHONPATH")]))
    started = time.monotonic()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            start_new_session=True,
            cwd=_ROOT,
        )
        peak = 0
        code: int | None = None
        try:
            while code is None and time.monotonic() - started < limit_s:
                peak = max(peak, _tree_bytes(child.pid)) if with_memory else 0
                try:
                    code = child.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        seconds = time.monotonic() - started
        texts = []
        for stream in (stdout, stderr):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Ended(code=code, stdout=texts[0], stderr=texts[1], seconds=seconds, peak_mib=peak / 2**20)


def _command(cell: Cell, out: Path) -> list[str]:
    if cell.live:
        framework = "torch" if cell.form == "live_torch" else "keras"
        return [sys.executable, "-m", "families.convert_live", framework, cell.family, cell.format, str(out)]
    command = [sys.executable, "-m", "edgeai", "convert", str(cell.path), "--to", cell.format, "-o", str(out), "--json"]
    for name, shape in cell.shapes.items():
        command += ["--input-shape", f"{name}={'x'.join(str(size) for size in shape)}"]
    return command


def _tree_bytes(pid: int) -> int:
    """Return the resident memory of a process and its descendants."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total


def _document(text: str) -> dict[str, Any] | None:
    start = text.find("{")
    if start < 0:
        return None
    try:
        document = json.loads(text[start:])
    except json.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _unclear(ended: Ended, limit_s: float) -> dict[str, str]:
    """Describe a child that gave no document: it is a fault of ours whatever the source was."""
    if ended.code is None:
        return {"type": "Timeout", "message": f"no end within {limit_s:.0f} s", "hint": ""}
    last = (ended.stderr.strip().splitlines() or ["no words"])[-1]
    if ended.code < 0:
        return {"type": "Crash", "message": f"the process died of signal {-ended.code}: {last}", "hint": ""}
    return {"type": "Traceback", "message": last, "hint": ""}
