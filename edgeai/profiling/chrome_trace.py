"""Profiles as a trace that Perfetto (ui.perfetto.dev) and `chrome://tracing` open.

The form is the Trace Event Format's JSON object: complete events (`ph: X`) with times in microseconds, and metadata
events (`ph: M`) that name processes and threads. Each profile is a process; its threads are the devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeai.benchmarking.result import OperatorProfile, OperatorTime

_WHOLE = 0
"""Thread of the call as a whole; devices follow."""


def chrome_trace(profiles: Mapping[str, OperatorProfile | Mapping[str, Any]]) -> dict[str, Any]:
    """Return the trace of one mean call of each profile, as a document for `json.dumps`.

    Args:
        profiles: by label, such as that of a run; records, or what stands of them in a stored benchmark.

    Returns:
        `{"traceEvents": […], "displayTimeUnit": "ms"}`. Times are those of the profile; where the engine gives no
        begin, operations stand one behind the other.
    """
    events: list[dict[str, Any]] = []
    for process, (label, given) in enumerate(profiles.items(), start=1):
        profile = given if isinstance(given, OperatorProfile) else read_profile(given)
        events.append(_name("process_name", process, _WHOLE, label))
        events.append({**_name("process_sort_index", process, _WHOLE, ""), "args": {"sort_index": process}})
        events.append(_name("thread_name", process, _WHOLE, "call"))
        threads: dict[str, int] = {}
        for operator in profile.operators:
            if operator.device not in threads:
                threads[operator.device] = len(threads) + 1
                events.append(_name("thread_name", process, threads[operator.device], operator.device))
        whole = {"method": profile.method, "calls": profile.calls, "sum_ms": profile.sum_ms, "note": profile.note}
        longest = max(profile.whole_ms, max((one.start_ms + one.ms for one in profile.operators), default=0.0))
        events.append(_complete("call", "call", process, _WHOLE, 0.0, longest, whole))
        events += [
            _complete(
                one.op,
                one.device,
                process,
                threads[one.device],
                one.start_ms,
                one.ms,
                {"name": one.name, "share": one.share, "kernel": one.kernel},
            )
            for one in profile.operators
        ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def read_profile(document: Mapping[str, Any]) -> OperatorProfile:
    """Return the record of a profile as it was stored."""
    return OperatorProfile(
        **{**document, "operators": tuple(OperatorTime(**operator) for operator in document["operators"])}
    )


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _complete(
    name: str, category: str, process: int, thread: int, start_ms: float, ms: float, facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": process,
        "tid": thread,
        "ts": round(start_ms * 1e3, 3),
        "dur": round(ms * 1e3, 3),
        "args": dict(facts),
    }
