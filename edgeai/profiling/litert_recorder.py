"""LiteRT's own profiler: operators of its built-in kernels, and those inside XNNPACK.

It belongs to LiteRT's CompiledModel, which computes with the same kernels as the interpreter that the runtime uses.
XNNPACK fuses and renames operators, and its figures have no begin: they are put one behind the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgeai.profiling.litert_library import CPU, Event, ProfiledModel, library_path
from edgeai.profiling.recorder import MOST_CALLS, Operation, mean_over_calls
from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.errors import EngineError

KERNELS = {"litert:xnnpack": "xnnpack", "litert:reference": "reference"}
"""Delegates that can be profiled, with LiteRT's word for their kernels."""

_OPERATOR, _DELEGATES_OPERATOR = 2, 8
_BETWEEN_CALLS = b"LiteRT::Run"
_MOST_EVENTS = 200_000
_HOLD_OTHERS = frozenset({"WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE", "STABLEHLO_WHILE"})


class LiteRTRecorder:
    """See `recorder.Recorder` for what its members promise."""

    method: Literal["engine"] = "engine"
    most_calls = MOST_CALLS
    note = (
        "LiteRT's profiler counts whole microseconds: of each operation up to one is cut off. It is that of its "
        "CompiledModel; the runtime's interpreter computes with the same kernels."
    )

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
        library = library_path()
        if library is None or delegate not in KERNELS or options:
            raise EngineError(f"LiteRT has no profiler for {delegate} here")
        inputs = {spec.name: array for spec, array in zip(session.inputs, arrays, strict=True)}
        cpu = f'num_threads = {threads}\nkernel_mode = "{KERNELS[delegate]}"\n'
        with capture_log():
            self._model = ProfiledModel(library, path, inputs, accelerators=CPU, options={"xnnpack": cpu})

    def begin(self) -> None:
        """Start the profiler, after a look at how many events a call has."""
        self._model.start()
        self._model.run()
        self.most_calls = min(MOST_CALLS, _MOST_EVENTS // max(len(self._model.read_events()), 1))
        self._model.start()

    def call(self) -> None:
        """Run once."""
        self._model.run()

    def keep(self) -> None:
        """Do nothing: reading the profiler would empty the caches, and it keeps all calls."""

    def finish(self, kept: Sequence[int]) -> list[Operation]:
        """Read all calls at once."""
        calls = [read_call(events) for events in split_calls(self._model.read_events())]
        return mean_over_calls(calls[number] for number in kept if number < len(calls))

    def close(self) -> None:
        """Leave the model to the end of the process: it owns memory that LiteRT may still use."""


def split_calls(events: Sequence[Event]) -> list[list[Event]]:
    """Return the events of each call: between two of LiteRT's own about buffers."""
    calls: list[list[Event]] = [[]]
    for event in events:
        if (event.tag or b"").startswith(_BETWEEN_CALLS):
            if calls[-1]:
                calls.append([])
        elif event.kind in (_OPERATOR, _DELEGATES_OPERATOR):
            calls[-1].append(event)
    return calls if calls[-1] else calls[:-1]


def read_call(events: Sequence[Event]) -> list[Operation]:
    """Return the operations of one call, each placed behind the one before where the profiler gives no begin.

    What runs inside a loop or branch is in the time of the operator that holds it.
    """
    found: list[Operation] = []
    first: int | None = None
    now, inside = 0, False
    for event in events:
        tag = (event.tag or b"?").decode(errors="replace")
        if event.kind == _OPERATOR:
            inside = event.subgraph != 0
            if inside:
                continue
            first = event.start_us - now if first is None else first
            now = max(event.start_us - first, now)
            name, op, kernel, inside = f"{tag}:{event.node}", tag, "", tag in _HOLD_OTHERS
        elif inside:
            continue
        else:
            op, mark, kernel = tag.rpartition(") ")
            op, kernel = (f"{op})", kernel) if mark else (tag, "")
            name = f"{op}:{event.node}"
        found.append(
            Operation(name=name, op=op, ms=event.elapsed_us / 1e3, start_ms=now / 1e3, device="cpu", kernel=kernel)
        )
        now += event.elapsed_us
    return found
