"""`profile_artifact`: where the time of a call goes, operation by operation, in one form for every engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgeai.benchmarking.result import OperatorProfile
from edgeai.profiling.chrome_trace import read_profile
from edgeai.profiling.profile_child import INPUTS_FILE, JOB_FILE, RESULT_FILE
from edgeai_runtime import errors
from edgeai_runtime.bundle import is_bundle, open_bundle
from edgeai_runtime.bundle_arrays import npz_bytes
from edgeai_runtime.engines.artifact_file import format_of
from edgeai_runtime.engines.table import DEFAULT_DELEGATES, FORMAT_ENGINES, has_delegate
from edgeai_runtime.errors import EdgeAIError, EngineError, UsageError

_TIMEOUT_S = 600
_LOG_LINES = 12
_TOLD = 0.5
"""Part of a call that a profiler must account for; below, its clock is too coarse for so small a network."""


def profile_artifact(
    path: Path,
    *,
    variant: str | None = None,
    delegate: str | None = None,
    threads: int = 1,
    arrays: Sequence[Any] | None = None,
    duration_s: float = 1.0,
    options: Mapping[str, str] | None = None,
) -> OperatorProfile:
    """Measure how long each operation of an artifact takes, in a child process of its own.

    ONNX Runtime, OpenVINO and LiteRT (on the CPU) tell by their own profilers. Where LiteRT's cannot be had, or
    its clock is too coarse for the network, each operation is measured as a model of its own: `method` is `alone`.

    Args:
        path: a bundle, or a `.tflite`, `.onnx` or `.xml` file.
        variant: of the bundle; its first by default.
        delegate: such as `openvino:cpu`; by default the variant's first, or the usual one of the format.
        threads: most threads of the engine.
        arrays: one per input, as `Model.run_raw` takes them; drawn when not given.
        duration_s: how long to measure; loading comes on top.
        options: of the delegate, as in `Placement.options`.

    Returns:
        Times of one call: means, without calls that took 1.5 medians or more (something else interrupted them).
        OpenVINO's CPU knows means over all calls only: there `sum_ms` has the interruptions, `whole_ms` has not.

    Raises:
        UsageError: no such variant or delegate, or the bundle is a pipeline.
        EngineError: the engine failed, or has no profiler for this delegate; with the end of its log.

    Example:
        >>> profile_artifact(Path("model.onnx")).operators[0].op  # doctest: +SKIP
    """
    if duration_s <= 0 or threads < 1:
        raise UsageError(f"duration_s and threads must be above 0. Received: {duration_s}, {threads}")
    artifact, identity, chosen = _resolve(Path(path), variant, delegate)
    engine = chosen.partition(":")[0]
    job = {
        "path": str(artifact.resolve()),
        "engine": engine,
        "recorder": engine,
        "delegate": chosen,
        "threads": threads,
        "duration_s": duration_s,
        "options": dict(options or {}),
        "bundle": str(Path(path).resolve()) if identity is not None else None,
        "variant": identity,
    }
    try:
        found = _run(job, arrays)
    except EngineError:
        if engine != "litert":
            raise
        return _run({**job, "recorder": "litert-alone"}, arrays)
    plain_ms = found.whole_ms / (found.overhead or 1.0)
    if engine == "litert" and found.sum_ms < _TOLD * plain_ms:
        with suppress(EngineError):  # then the coarse times are better than none
            return _run({**job, "recorder": "litert-alone"}, arrays)
    return found


def _resolve(path: Path, variant: str | None, delegate: str | None) -> tuple[Path, str | None, str]:
    """Return the artifact's file, the variant's id (`None` for a bare artifact) and the delegate."""
    if not path.exists():
        raise UsageError(f"There is no file {path}.")
    if is_bundle(path):
        bundle = open_bundle(path)
        if bundle.manifest.pipeline is not None:
            raise UsageError(f"{path} is a pipeline of several models.", hint="Profile the bundle of each stage.")
        known = {one.id: one for one in bundle.manifest.variants}
        if variant is not None and variant not in known:
            raise UsageError(f"{path} has no variant {variant!r}.", hint=f"Its variants: {', '.join(known)}.")
        found = known[variant] if variant is not None else bundle.manifest.variants[0]
        path, variant, format = bundle.artifact(found), found.id, found.format
        usual = (*found.delegates, DEFAULT_DELEGATES[format])[0]
    elif variant is not None:
        raise UsageError(f"{path} is a bare artifact and has no variant {variant!r}.")
    else:
        format = format_of(path)
        usual = DEFAULT_DELEGATES[format]
    chosen = delegate or usual
    engine = FORMAT_ENGINES[format]
    if not chosen.startswith(f"{engine}:") or not has_delegate(engine, chosen):
        raise UsageError(f"{chosen!r} is no delegate of {engine}, which runs {path.name}.", hint="edgeai devices")
    return path, variant, chosen


def _run(job: Mapping[str, Any], arrays: Sequence[Any] | None) -> OperatorProfile:
    name = Path(job["path"]).name
    with tempfile.TemporaryDirectory(prefix="edgeai-profile-") as place:
        folder = Path(place)
        (folder / JOB_FILE).write_text(json.dumps(job))
        if arrays is not None:
            (folder / INPUTS_FILE).write_bytes(npz_bytes({str(i): np.asarray(one) for i, one in enumerate(arrays)}))
        environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "ORT_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-m", "edgeai.profiling.profile_child", place]
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"{name}: profiling it was stopped after {_TIMEOUT_S} s.") from error
        if done.returncode:
            tail = "\n".join(done.stderr.strip().splitlines()[-_LOG_LINES:])
            raise EngineError(f"{name}: {job['engine']} {_how(done.returncode)} while it was profiled.\n{tail}")
        document: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text())
    if "error" in document:
        raise _error(document["error"])
    return read_profile(document["profile"])


def _how(code: int) -> str:
    if code > 0:
        return f"failed (exit code {code})"
    try:
        return f"crashed ({signal.Signals(-code).name})"
    except ValueError:
        return f"crashed (signal {-code})"


def _error(document: Mapping[str, str]) -> EdgeAIError:
    kind = getattr(errors, document["type"], EngineError)
    error: EdgeAIError = kind(document["message"], hint=document["hint"])
    return error
