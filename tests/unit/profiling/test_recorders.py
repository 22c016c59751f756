"""What recorders make of the figures of their engines; no engine runs here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from edgeai.profiling.litert_library import Event
from edgeai.profiling.litert_recorder import read_call, split_calls
from edgeai.profiling.onnxruntime_recorder import read_calls
from edgeai.profiling.openvino_recorder import without_first_calls
from edgeai.profiling.profile_child import Timed, take_turns, undisturbed
from edgeai.profiling.recorder import Operation, mean_over_calls

_OPERATOR, _IN_DELEGATE, _OTHER = 2, 8, 1


def operation(name: str, ms: float, start_ms: float | None = None) -> Operation:
    """Return an operation of type `Conv`."""
    return Operation(name=name, op="Conv", ms=ms, start_ms=start_ms)


def node(name: str, ts: int, dur: int, op: str = "Conv", provider: str = "CPUExecutionProvider") -> dict[str, Any]:
    """Return an event of ONNX Runtime's trace."""
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": ts,
        "dur": dur,
        "args": {"op_name": op, "provider": provider},
    }


def run(ts: int, dur: int) -> dict[str, Any]:
    """Return the event with which a call ends in ONNX Runtime's trace."""
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur}


def event(tag: bytes, kind: int, start_us: int, elapsed_us: int, place: int = 0, subgraph: int = 0) -> Event:
    """Return an event of LiteRT's profiler."""
    found = Event()
    found.tag, found.kind, found.start_us, found.elapsed_us = tag, kind, start_us, elapsed_us
    found.node, found.subgraph = place, subgraph
    return found


def test_the_mean_of_an_operation_is_over_all_calls() -> None:
    calls = [[operation("a", 1.0, 0.0), operation("b", 2.0, 1.0)], [operation("a", 3.0, 0.0), operation("b", 4.0, 3.0)]]
    assert [(one.name, one.ms, one.start_ms) for one in mean_over_calls(calls)] == [("a", 2.0, 0.0), ("b", 3.0, 2.0)]


def test_an_operation_that_comes_twice_in_a_call_is_two_operations() -> None:
    calls = [[operation("a", 1.0), operation("a", 5.0)], [operation("a", 3.0), operation("a", 7.0)]]
    assert [one.ms for one in mean_over_calls(calls)] == [2.0, 6.0]


def test_an_operation_that_is_missing_in_a_call_counts_as_zero_there() -> None:
    assert [one.ms for one in mean_over_calls([[operation("a", 1.0), operation("b", 4.0)], [operation("a", 1.0)]])] == [
        1.0,
        2.0,
    ]


def test_the_events_of_onnxruntime_are_told_apart_by_call() -> None:
    trace = [node("a", 10, 5), node("b", 16, 4), run(8, 14), node("a", 50, 7), node("b", 58, 4), run(40, 30)]
    first, second = read_calls(trace, "onnxruntime:cpu")
    assert [(one.name, one.ms, one.start_ms) for one in first] == [("a", 0.005, 0.002), ("b", 0.004, 0.008)]
    assert [(one.name, one.ms, one.start_ms) for one in second] == [("a", 0.007, 0.01), ("b", 0.004, 0.018)]
    assert {one.device for one in first} == {"cpu"}


def test_what_runs_inside_a_loop_is_in_the_time_of_the_loop() -> None:
    trace = [node("inner", 12, 3), node("inner", 16, 3), node("loop", 10, 20, "Loop"), node("after", 30, 2), run(8, 30)]
    assert [(one.name, one.ms) for one in read_calls(trace, "onnxruntime:cpu")[0]] == [("loop", 0.02), ("after", 0.002)]


def test_the_provider_tells_the_device() -> None:
    trace = [node("a", 10, 5, provider="XnnpackExecutionProvider"), node("b", 16, 5, provider="Strange"), run(8, 20)]
    assert [one.device for one in read_calls(trace, "onnxruntime:xnnpack")[0]] == ["cpu", "unknown"]


def test_the_calls_of_litert_end_where_it_sees_to_its_buffers() -> None:
    call = [event(b"invoke", 16, 1, 9), event(b"CONV_2D", _OPERATOR, 2, 5), event(b"Invoke", 32, 0, 1)]
    between = [event(b"LiteRT::Run[buffer registration]", _OTHER, 0, 1)]
    ended = [event(b"LiteRT::Run[Buffer sync]", _OTHER, 0, 1)]
    found = split_calls(between + call + ended + between + call + ended)
    assert [[one.tag for one in each] for each in found] == [[b"CONV_2D"], [b"CONV_2D"]]


def test_operators_in_xnnpack_follow_what_ran_before_them() -> None:
    found = read_call(
        [
            event(b"Convolution (NHWC, F32) IGEMM", _IN_DELEGATE, 0, 10),
            event(b"Clamp (NC)", _IN_DELEGATE, 0, 4, place=1),
            event(b"CUMSUM", _OPERATOR, 1000, 6, place=7),
            event(b"SOFTMAX", _OPERATOR, 1008, 1, place=8),
        ]
    )
    assert [(one.op, one.kernel, one.start_ms, one.ms) for one in found] == [
        ("Convolution (NHWC, F32)", "IGEMM", 0.0, 0.01),
        ("Clamp (NC)", "", 0.01, 0.004),
        ("CUMSUM", "", 0.014, 0.006),
        ("SOFTMAX", "", 0.022, 0.001),
    ]
    assert [one.name for one in found][2:] == ["CUMSUM:7", "SOFTMAX:8"]


def test_operators_of_other_subgraphs_are_in_the_time_of_the_while() -> None:
    found = read_call(
        [
            event(b"WHILE", _OPERATOR, 100, 50, place=0),
            event(b"Add (ND)", _IN_DELEGATE, 0, 5),
            event(b"LESS", _OPERATOR, 110, 5, place=0, subgraph=1),
            event(b"Add (ND)", _IN_DELEGATE, 0, 5),
            event(b"SOFTMAX", _OPERATOR, 160, 3, place=1),
        ]
    )
    assert [(one.name, one.ms) for one in found] == [("WHILE:0", 0.05), ("SOFTMAX:1", 0.003)]


def test_openvinos_means_lose_the_calls_before() -> None:
    means, early = [operation("a", 2.0), operation("b", 1.0)], {"a": operation("a", 11.0)}
    assert [one.ms for one in without_first_calls(means, early, calls=10, before=1)] == pytest.approx([1.0, 10 / 9])


def test_calls_that_were_interrupted_are_left_out() -> None:
    timed = Timed(
        profiled_ms=[9.0, 1.0, 1.2, 7.0, 0.9, 1.1], counted=[1, 2, 3, 4, 5], rounds_plain_ms=[], rounds_profiled_ms=[]
    )
    assert undisturbed(timed) == [1, 2, 4, 5]


class Counting:
    """A recorder that only counts: calls before it begins, and those it is told to keep."""

    method: Literal["engine"] = "engine"
    note = ""

    def __init__(self, most_calls: int) -> None:
        self.most_calls = most_calls
        self.calls = self.before = self.kept = 0

    def begin(self) -> None:
        self.before = self.calls

    def call(self) -> None:
        self.calls += 1

    def keep(self) -> None:
        self.kept += 1

    def finish(self, kept: Sequence[int]) -> list[Operation]:
        return []

    def close(self) -> None:
        pass


def test_every_call_after_the_begin_is_timed_and_the_first_of_a_block_does_not_count() -> None:
    recorder = Counting(most_calls=1000)
    timed = take_turns(lambda: None, recorder, duration_s=0.01)
    assert recorder.before > 0
    assert len(timed.profiled_ms) == recorder.kept == recorder.calls - recorder.before
    assert len(timed.profiled_ms) - len(timed.counted) == len(timed.rounds_plain_ms) == len(timed.rounds_profiled_ms)
    assert 0 not in timed.counted


def test_it_ends_where_a_recorder_can_not_take_more() -> None:
    timed = take_turns(lambda: None, Counting(most_calls=1000), duration_s=60)
    assert len(timed.profiled_ms) <= 1000
