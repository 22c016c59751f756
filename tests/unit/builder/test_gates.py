"""Gates that are judged by what was measured of each variant when it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai.builder.gate_result import Gates, TargetResult
from edgeai.builder.gates import judge

CANDIDATE: dict[str, Any] = {
    "id": "onnx-int8",
    "size_bytes": 1000,
    "latency_ms": {"median": 0.5, "p90": 0.6, "median_ci95": [0.4, 0.55]},
    "speedup_vs_float": 2.0,
    "speedup_ci95": [1.6, 2.5],
    "peak_memory_mib": 8.0,
    "metric": "top1",
    "drop": 0.004,
    "drop_ci95": [-0.002, 0.009],
    "n": 500,
    "split": "certification",
    "verdict": "certified",
    "samples_needed": None,
    "threads": 1,
}


def _made(*candidates: dict[str, Any], **more: Any) -> TargetResult:
    return TargetResult(
        model="net",
        target="pi",
        device=None,
        artifacts=(),
        bundle=Path("net.edge"),
        candidates=candidates,
        report=Path("report.json"),
        document={"budget": {"max_drop": 0.01}},
        **more,
    )


@pytest.mark.parametrize(
    ("gates", "ok", "value", "words"),
    [
        (Gates(size_bytes=1000), True, 1000, "onnx-int8 has 1000 bytes, 1000 are allowed"),
        (Gates(size_bytes=999), False, 1000, "onnx-int8 has 1000 bytes, 999 are allowed"),
        (Gates(latency_ms=0.5), True, 0.5, r"takes 0.5 ms (95 %: 0.4 to 0.55), 0.5 ms are allowed"),
        (Gates(latency_ms=0.49), False, 0.5, "0.49 ms are allowed"),
        (Gates(latency_ratio=0.5), True, 0.5, "takes 50.0% of float's time (95 %: 40.0% to 62.5%), 50.0% are allowed"),
        (Gates(latency_ratio=0.4), False, 0.5, "40.0% are allowed; the interval leaves it open"),
        (Gates(memory_mib=8.0), True, 8.0, "takes 8.0 MiB more"),
        (Gates(memory_mib=7.9), False, 8.0, "7.9 MiB are allowed"),
        (Gates(accuracy="certified"), True, "certified", "top1 drops by 0.40% (95 %: -0.20% to 0.90%, n=500), 1.00%"),
    ],
)
def test_a_limit_holds_up_to_its_value_and_the_reason_has_both(
    gates: Gates, ok: bool, value: float | str, words: str
) -> None:
    (result,) = judge(_made(CANDIDATE), gates)
    assert (result.ok, result.value, result.where) == (ok, value, "net/pi")
    assert words in result.reason
    assert "\n" not in result.reason


@pytest.mark.parametrize("gates", [Gates(latency_ms=0.39), Gates(latency_ratio=0.39), Gates(latency_ms=0.5)])
def test_a_time_whose_interval_is_beyond_the_limit_or_that_keeps_it_is_not_open(gates: Gates) -> None:
    (result,) = judge(_made(CANDIDATE), gates)
    assert "open" not in result.reason


@pytest.mark.parametrize(
    ("verdict", "asked", "ok"),
    [
        ("certified", "unproven", True),
        ("unproven", "unproven", True),
        ("unproven", "certified", False),
        ("violated", "unproven", False),
    ],
)
def test_the_certificate_must_be_at_least_what_is_asked_for(verdict: str, asked: Any, ok: bool) -> None:
    (result,) = judge(_made({**CANDIDATE, "verdict": verdict, "samples_needed": 900}), Gates(accuracy=asked))
    assert (result.ok, result.value) == (ok, verdict)
    assert ("about 900 samples would decide" in result.reason) == (verdict == "unproven")


@pytest.mark.parametrize(
    ("gates", "changed"),
    [
        (Gates(size_bytes=1500), {"size_bytes": 1600}),
        (Gates(latency_ms=1.0), {"latency_ms": {"median": 1.5, "median_ci95": [1.4, 1.6]}}),
        (Gates(latency_ratio=0.9), {"speedup_vs_float": 1.0, "speedup_ci95": [1.0, 1.0]}),
        (Gates(memory_mib=10.0), {"peak_memory_mib": 11.0}),
        (Gates(accuracy="certified"), {"verdict": "unproven"}),
    ],
    ids=["size", "latency", "latency share", "memory", "accuracy"],
)
def test_every_variant_must_keep_the_limit_and_the_worst_is_named(gates: Gates, changed: dict[str, Any]) -> None:
    worse = {**CANDIDATE, "id": "tflite-int8", **changed}
    for made in (_made(CANDIDATE, worse), _made(worse, CANDIDATE)):
        (result,) = judge(made, gates)
        assert not result.ok
        assert "tflite-int8" in result.reason


@pytest.mark.parametrize(
    ("gates", "changed"),
    [
        (Gates(size_bytes=10**9), {"size_bytes": None}),
        (Gates(latency_ms=1e9), {"latency_ms": {"median": None, "median_ci95": None}}),
        (Gates(latency_ratio=1e9), {"speedup_vs_float": None}),
        (Gates(memory_mib=1e9), {"peak_memory_mib": None}),
        (Gates(accuracy="unproven"), {"n": 0, "verdict": "unproven", "drop": None, "split": None}),
        (Gates(accuracy="unproven"), {"split": "search"}),
    ],
    ids=["size", "latency", "latency share", "memory", "no certificate", "not the certification split"],
)
def test_what_was_not_measured_does_not_hold(gates: Gates, changed: dict[str, Any]) -> None:
    (result,) = judge(_made(CANDIDATE, {**CANDIDATE, "id": "tflite-int8", **changed}), gates)
    assert (result.ok, result.value) == (False, None)
    assert "tflite-int8" in result.reason


def test_without_artifacts_no_gate_holds_and_without_gates_nothing_is_judged() -> None:
    gates = Gates(size_bytes=1, latency_ratio=1.0, memory_mib=1.0, accuracy="unproven", coverage=0.5)
    results = judge(_made(), gates)
    assert [one.name for one in results] == ["size", "latency", "memory", "accuracy", "coverage"]
    assert {(one.ok, one.value, one.reason) for one in results} == {(False, None, "no artifact was made")}
    assert judge(_made(CANDIDATE), Gates()) == ()


def test_a_placement_that_covers_enough_is_not_measured_again() -> None:
    made = _made(CANDIDATE, placements={"onnx-int8": {"cpu": 0.1, "npu": 0.9}})
    (result,) = judge(made, Gates(coverage=0.9))
    assert (result.ok, result.value) == (True, 0.9)


def test_a_compiler_tells_the_coverage_of_what_it_compiled_and_what_it_left() -> None:
    left = [{"operator": name, "outputs": ["y"]} for name in ("SOFTMAX", "SOFTMAX", "TOPK_V2")]
    report = {"compiler": "vela", "operators_on_accelerator": 7, "operators_on_cpu": 3, "left_on_cpu": left}
    (result,) = judge(_made(CANDIDATE, compiled={"ethos-u": report}), Gates(coverage=0.95))
    assert (result.ok, result.value) == (False, 0.7)
    assert result.reason == (
        "ethos-u: 70.0% of the operations run on npu (vela), 95.0% are asked for; not there: SOFTMAX, TOPK_V2"
    )
