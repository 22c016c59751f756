"""What a recorder offers: one loaded artifact whose calls tell the time of each operation.

An engine has one recorder, a module of its own. What its clock cannot tell (fractions of a microsecond, the begin of
an operation, the device) is left out, and said in `note`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from edgeai_runtime.engines.protocol import Session


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation in one call, or averaged over calls.

    Attributes:
        name: as the engine names it; the same in every call.
        op: the operator's type in the engine's words.
        ms: how long it took.
        start_ms: after the begin of the call; `None` where the engine does not tell.
        device: where it ran, by the recorder; `None` where the session's placement has to tell.
        kernel: the engine's own word for the code that ran.
    """

    name: str
    op: str
    ms: float
    start_ms: float | None = None
    device: str | None = None
    kernel: str = ""


class Recorder(Protocol):
    """One loaded artifact that is profiled. Calls before `begin` are not recorded."""

    method: Literal["engine", "alone"]
    most_calls: int
    """So many it can record."""
    note: str

    def begin(self) -> None:
        """Record from the next call on; it may run once itself."""
        ...

    def call(self) -> None:
        """Run once; this is what is timed."""
        ...

    def keep(self) -> None:
        """Take in what the engine recorded of the last call; not timed."""
        ...

    def finish(self, kept: Sequence[int]) -> list[Operation]:
        """Return the operations in the order they ran: means over the recorded calls whose numbers are in `kept`.

        A recorder that does not know single calls gives means over all of them.
        """
        ...

    def close(self) -> None:
        """Give back memory and files."""
        ...


Open = Callable[..., Recorder]

MOST_CALLS = 2000
"""More are not needed for a mean, and fill the memory of those that keep all."""

RECORDERS: dict[str, str] = {
    "onnxruntime": "edgeai.profiling.onnxruntime_recorder:OnnxRuntimeRecorder",
    "openvino": "edgeai.profiling.openvino_recorder:OpenVINORecorder",
    "litert": "edgeai.profiling.litert_recorder:LiteRTRecorder",
    "litert-alone": "edgeai.profiling.litert_alone:LiteRTAloneRecorder",
}


def open_recorder(
    name: str,
    path: Path,
    session: Session,
    arrays: Sequence[Any],
    *,
    delegate: str,
    threads: int,
    options: Mapping[str, str],
) -> Recorder:
    """Open the artifact `path` with the recorder `name`, to run `arrays` as `session` does.

    Raises:
        EngineError: the engine has no profiler here, or not for this model or delegate.
    """
    module, _, attribute = RECORDERS[name].partition(":")
    make = cast("Open", getattr(importlib.import_module(module), attribute))
    return make(path, session, arrays, delegate=delegate, threads=threads, options=options)


def mean_over_calls(calls: Iterable[Sequence[Operation]]) -> list[Operation]:
    """Return each operation's mean time and begin; in the order of the call that has most of them.

    An operation that comes several times in a call (in a loop) counts each time; one that is missing in a call counts
    as zero there.
    """
    every = [tuple(call) for call in calls]
    longest: Sequence[Operation] = max(every, key=len, default=())
    places: dict[tuple[str, int], list[Operation]] = {}
    for call in every:
        for key, operation in zip(_numbered(call), call, strict=True):
            places.setdefault(key, []).append(operation)
    means = []
    for key, first in zip(_numbered(longest), longest, strict=True):
        found = places[key]
        starts = [one.start_ms for one in found if one.start_ms is not None]
        means.append(
            replace(
                first,
                ms=sum(one.ms for one in found) / len(every),
                start_ms=sum(starts) / len(starts) if starts else None,
            )
        )
    return means


def _numbered(call: Sequence[Operation]) -> list[tuple[str, int]]:
    seen: dict[str, int] = {}
    keys = []
    for operation in call:
        number = seen.get(operation.name, 0)
        seen[operation.name] = number + 1
        keys.append((operation.name, number))
    return keys
