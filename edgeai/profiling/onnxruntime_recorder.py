"""ONNX Runtime's own profiler: a session with `enable_profiling`, whose trace is read when it ends.

The trace has one event per node and call, in whole microseconds (fractions are cut off), with the provider that ran
it. Nodes inside a Loop, If or Scan lie within the event of the node that holds them and are not counted twice.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgeai.profiling.recorder import MOST_CALLS, Operation, mean_over_calls
from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.onnxruntime_providers import add_provider, device_of
from edgeai_runtime.engines.onnxruntime_settings import CPU, fixed_dimensions, make_settings
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import known_delegate

_NODE_EVENT = "_kernel_time"
_CALL_EVENT = "model_run"


class OnnxRuntimeRecorder:
    """See `recorder.Recorder` for what its members promise."""

    method: Literal["engine"] = "engine"
    most_calls = MOST_CALLS
    note = "ONNX Runtime's profiler counts whole microseconds: of each operation up to one is cut off."

    def __init__(
        self,
        path: Path,
        session: Session,
        arrays: Sequence[Any],
        *,
        delegate: str,
        threads: int,
        options: Mapping[str, str],
    ) -> None:
        import onnxruntime as ort

        self._delegate = delegate
        self._folder = tempfile.TemporaryDirectory(prefix="edgeai-profile-")
        settings = make_settings(ort, threads, options)
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(self._folder.name) / "trace")
        spec = known_delegate(delegate)
        providers: list[Any] | None = [CPU] if delegate == "onnxruntime:cpu" else None
        with capture_log():
            if delegate != "onnxruntime:cpu":
                providers = add_provider(ort, settings, delegate, options, threads)
                if spec.static_shapes:
                    for name, size in fixed_dimensions(ort, path, delegate, options).items():
                        settings.add_free_dimension_override_by_name(name, size)
            self._session: Any = ort.InferenceSession(str(path), settings, providers=providers, enable_fallback=0)
        self._outputs = [one.name for one in self._session.get_outputs()]
        self._feed = {one.name: array for one, array in zip(self._session.get_inputs(), arrays, strict=True)}
        self._calls = self._before = 0

    def begin(self) -> None:
        """Leave out the calls so far when the trace is read."""
        self._before = self._calls

    def call(self) -> None:
        """Run once."""
        self._calls += 1
        self._session.run(self._outputs, self._feed, None)

    def keep(self) -> None:
        """Do nothing: the trace keeps all calls."""

    def finish(self, kept: Sequence[int]) -> list[Operation]:
        """Read the trace."""
        trace = json.loads(Path(self._session.end_profiling()).read_text(errors="replace"))
        calls = read_calls(trace, self._delegate)[self._before :]
        return mean_over_calls(calls[number] for number in kept if number < len(calls))

    def close(self) -> None:
        """Drop the session and its trace."""
        self._session = None
        self._folder.cleanup()


def read_calls(trace: Sequence[Mapping[str, Any]], delegate: str) -> list[list[Operation]]:
    """Return the operations of each call in a trace of ONNX Runtime (its events as parsed from JSON)."""
    calls = []
    nodes: list[Mapping[str, Any]] = []
    for event in trace:
        kind, name = event.get("cat"), str(event.get("name"))
        if kind == "Node" and name.endswith(_NODE_EVENT):
            nodes.append(event)
        elif kind == "Session" and name == _CALL_EVENT:
            calls.append(_operations(nodes, int(event["ts"]), delegate))
            nodes = []
    return calls


def _operations(nodes: Sequence[Mapping[str, Any]], begin_us: int, delegate: str) -> list[Operation]:
    found: list[Operation] = []
    end = 0
    for event in sorted(nodes, key=lambda one: (int(one["ts"]), -int(one["dur"]))):
        if int(event["ts"]) < end:  # inside a Loop, If or Scan that is counted already
            continue
        end = int(event["ts"]) + int(event["dur"])
        facts = event.get("args", {})
        provider = str(facts.get("provider", ""))
        found.append(
            Operation(
                name=str(event["name"])[: -len(_NODE_EVENT)] or f"node:{facts.get('node_index', len(found))}",
                op=str(facts.get("op_name", "?")),
                ms=int(event["dur"]) / 1e3,
                start_ms=(int(event["ts"]) - begin_us) / 1e3,
                device=device_of(provider, delegate)[0] if provider else None,
                kernel=provider,
            )
        )
    return found
