"""Verdicts on a smaller network: whether it pays, and whether it meets what was asked."""

from __future__ import annotations

from typing import Any, cast

import pytest

from edgeai_converters.prune.engine_cost import EngineCost
from edgeai_converters.prune.oneshot import Pruned
from edgeai_runtime.manifest import Measurement


def _pruned(ratio: float, interval: tuple[float, float], told: dict[str, Any], *, smaller_bytes: int = 40) -> Pruned:
    measurement = Measurement(
        engine="onnxruntime",
        engine_version="1",
        delegate="cpu",
        threads=1,
        latency_median_ms=1.0,
        latency_p90_ms=1.0,
        latency_median_ci95_ms=(1.0, 1.0),
        speedup_vs_float=1 / ratio,
        speedup_ci95=(1 / interval[1], 1 / interval[0]),
        peak_memory_mib=None,
        machine={},
    )
    engine = EngineCost(measurement=measurement, whole_bytes=100, smaller_bytes=smaller_bytes)
    nothing = cast(Any, None)
    return Pruned(
        model=nothing,
        artifact=nothing,
        told=told,
        notes=(),
        before=nothing,
        after=nothing,
        claim=nothing,
        engine=engine,
        flash=None,
    )


@pytest.mark.parametrize(
    ("ratio", "interval", "verdict"),
    [(0.5, (0.4, 0.6), "faster"), (0.98, (0.9, 1.1), "no_difference"), (1.2, (1.1, 1.3), "slower")],
)
def test_what_pays_is_faster_with_its_whole_interval(ratio: float, interval: Any, verdict: str) -> None:
    assert _pruned(ratio, interval, {}).verdict == verdict


@pytest.mark.parametrize(
    ("ratio", "interval", "verdict"),
    [(0.49, (0.48, 0.55), "met"), (0.52, (0.49, 0.55), "unclear"), (0.53, (0.51, 0.55), "missed")],
)
def test_a_latency_is_missed_when_its_interval_lies_above_the_target(ratio: float, interval: Any, verdict: str) -> None:
    told = {"target": {"kind": "latency", "asked": 0.5}}
    assert _pruned(ratio, interval, told).target_verdict == verdict


@pytest.mark.parametrize(("smaller_bytes", "verdict"), [(50, "met"), (51, "missed")])
def test_a_size_is_met_or_missed(smaller_bytes: int, verdict: str) -> None:
    told = {"target": {"kind": "size", "asked": 0.5}}
    assert _pruned(0.1, (0.1, 0.1), told, smaller_bytes=smaller_bytes).target_verdict == verdict


def test_there_is_no_verdict_without_a_target() -> None:
    assert _pruned(0.5, (0.4, 0.6), {}).target_verdict is None
