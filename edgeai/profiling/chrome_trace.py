"""Profiles as a trace that Perfetto (ui.perfetto.dev) and `chrome://tracing` open.

The form is the Trace Event Format's JSON object: complete events (`ph: X`) with times in microseconds, and metadata
events (`ph: M`) that name processes and threads. Each profile is a process; its threads are the call as a whole and
the devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeai.benchmarking.result import OperatorProfile, OperatorTime

_TRACKS = 1000
"""Most tracks of one profile. Perfetto takes a thread 0 for an idle processor, and one with its process's number for
the process itself: threads are numbered from `_TRACKS` times the process on.
"""

_TOUCHING = 2
"""Nanoseconds by which one operation may begin before the other's end only because times were rounded."""


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
        events.append(_metadata("process_name", process, _TRACKS * process, name=label))
        events.append(_metadata("process_sort_index", process, _TRACKS * process, sort_index=process))
        lanes = _lanes(profile.operators)
        for track, name in enumerate(("call", *lanes), start=_TRACKS * process):
            events.append(_metadata("thread_name", process, track, name=name))
            events.append(_metadata("thread_sort_index", process, track, sort_index=track))
        whole = {"method": profile.method, "calls": profile.calls, "sum_ms": profile.sum_ms, "note": profile.note}
        longest = max([round(profile.whole_ms * 1e6)] + [end for lane in lanes.values() for _, _, end in lane])
        events.append(_complete("call", "call", process, _TRACKS * process, 0, longest, whole))
        events += [
            _complete(
                one.op,
                one.device,
                process,
                track,
                start,
                end,
                {"name": one.name, "share": one.share, "kernel": one.kernel},
            )
            for track, lane in enumerate(lanes.values(), start=_TRACKS * process + 1)
            for one, start, end in lane
        ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


_Placed = tuple[OperatorTime, int, int]
"""An operation, its begin and its end in nanoseconds."""


def _lanes(operators: Sequence[OperatorTime]) -> dict[str, list[_Placed]]:
    """Return the operations by track: one per device, and more (`cpu 2`) where operations of one device overlap.

    Perfetto drops an event that overlaps another one on its track, be it by a nanosecond: begins and ends are rounded,
    not durations.
    """
    lanes: dict[str, list[_Placed]] = {}
    for one in sorted(operators, key=lambda each: each.start_ms):
        start, end = round(one.start_ms * 1e6), round((one.start_ms + one.ms) * 1e6)
        names = (f"{one.device} {number}" if number > 1 else one.device for number in range(1, _TRACKS))
        name = next(
            (name for name in names if name not in lanes or lanes[name][-1][2] - start <= _TOUCHING), one.device
        )
        if name in lanes:
            start = max(start, lanes[name][-1][2])
        lanes.setdefault(name, []).append((one, start, max(start, end)))
    return lanes


def read_profile(document: Mapping[str, Any]) -> OperatorProfile:
    """Return the record of a profile as it was stored."""
    return OperatorProfile(
        **{**document, "operators": tuple(OperatorTime(**operator) for operator in document["operators"])}
    )


def _metadata(kind: str, process: int, thread: int, **facts: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": facts}


def _complete(
    name: str, category: str, process: int, thread: int, start_ns: int, end_ns: int, facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": process,
        "tid": thread,
        "ts": start_ns / 1e3,
        "dur": (end_ns - start_ns) / 1e3,
        "args": dict(facts),
    }
