"""The trace that Perfetto opens."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from edgeai.benchmarking.result import OperatorProfile, OperatorTime
from edgeai.profiling.chrome_trace import chrome_trace


def operator(name: str, start_ms: float, ms: float, device: str = "cpu") -> OperatorTime:
    """Return an operator of type `Conv`."""
    return OperatorTime(name=name, op="Conv", device=device, ms=ms, share=0.5, start_ms=start_ms, kernel="k")


@pytest.fixture
def profile() -> OperatorProfile:
    """Return a call of 1 ms with an operator on each of two devices."""
    return OperatorProfile(
        method="engine",
        calls=7,
        whole_ms=1.0,
        sum_ms=0.5,
        overhead=1.1,
        operators=(operator("a", 0.1, 0.25), operator("b", 0.4, 0.25, "npu")),
    )


def of_kind(document: dict[str, Any], phase: str, **facts: Any) -> list[dict[str, Any]]:
    """Return the events of a phase (`X`, `M`) with these facts."""
    return [one for one in document["traceEvents"] if one["ph"] == phase and facts.items() <= one.items()]


def test_operators_are_complete_events_in_microseconds(profile: OperatorProfile) -> None:
    events = of_kind(chrome_trace({"net": profile}), "X")
    assert [(one["name"], one["ts"], one["dur"]) for one in events] == [
        ("call", 0.0, 1000.0),
        ("Conv", 100.0, 250.0),
        ("Conv", 400.0, 250.0),
    ]
    assert events[1]["args"] == {"name": "a", "share": 0.5, "kernel": "k"}


def test_each_profile_is_a_process_and_each_device_a_thread(profile: OperatorProfile) -> None:
    document = chrome_trace({"net": profile, "other": profile})
    names = of_kind(document, "M", name="process_name")
    assert [one["args"]["name"] for one in names] == ["net", "other"]
    process = names[1]["pid"]
    threads = {one["tid"]: one["args"]["name"] for one in of_kind(document, "M", name="thread_name", pid=process)}
    assert [threads[one["tid"]] for one in of_kind(document, "X", pid=process)] == ["call", "cpu", "npu"]


def test_the_call_is_as_long_as_what_lies_in_it(profile: OperatorProfile) -> None:
    late = OperatorProfile(**{**vars(profile), "operators": (operator("a", 2.0, 0.5),)})
    assert of_kind(chrome_trace({"net": late}), "X", name="call")[0]["dur"] == 2500.0


def test_a_stored_profile_gives_the_same_trace(profile: OperatorProfile) -> None:
    stored = json.loads(json.dumps(asdict(profile)))
    assert chrome_trace({"net": stored}) == chrome_trace({"net": profile})


def test_operators_that_follow_each_other_do_not_overlap_by_rounding(profile: OperatorProfile) -> None:
    durations = [0.1 / (1 + at) + 1e-7 * at for at in range(200)]
    starts = [sum(durations[:at]) for at in range(200)]
    operators = tuple(operator(str(at), start, durations[at]) for at, start in enumerate(starts))
    events = of_kind(
        chrome_trace({"net": OperatorProfile(**{**vars(profile), "operators": operators})}), "X", cat="cpu"
    )
    assert len({one["tid"] for one in events}) == 1
    ends = [round(1000 * (one["ts"] + one["dur"])) for one in events]
    assert all(end <= round(1000 * after["ts"]) for end, after in zip(ends, events[1:], strict=False))


def test_operators_at_the_same_time_on_one_device_have_tracks_of_their_own(profile: OperatorProfile) -> None:
    operators = (operator("a", 0.0, 0.5), operator("b", 0.2, 0.5), operator("c", 0.6, 0.1))
    document = chrome_trace({"net": OperatorProfile(**{**vars(profile), "operators": operators})})
    threads = {one["tid"]: one["args"]["name"] for one in of_kind(document, "M", name="thread_name")}
    tracks = {one["args"]["name"]: threads[one["tid"]] for one in of_kind(document, "X", cat="cpu")}
    assert tracks == {"a": "cpu", "b": "cpu 2", "c": "cpu"}


def test_no_thread_is_numbered_0_or_as_its_process(profile: OperatorProfile) -> None:
    events = chrome_trace({"net": profile, "other": profile})["traceEvents"]
    assert not [one for one in events if one["tid"] in (0, one["pid"])]
    assert len({one["tid"] for one in events}) == 6
