"""How much narrower a network has to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.aim import MARGIN, between, cost_of, find_aim, tightened
from edgeai_converters.search.candidate import Candidate, Limit
from edgeai_converters.spec import Budget
from edgeai_runtime.manifest import Measurement, Precision

_MEASURED = Measurement(
    engine="litert",
    engine_version="2",
    delegate="litert:xnnpack",
    threads=1,
    latency_median_ms=2.0,
    latency_p90_ms=2.5,
    latency_median_ci95_ms=(1.9, 2.1),
    speedup_vs_float=2.0,
    speedup_ci95=(1.9, 2.1),
    peak_memory_mib=1.0,
    machine={},
)


def _candidate(
    tmp_path: Path, *, limit: Limit | None, precision: Precision = "int8", size: int = 1000, speedup: float = 2.0
) -> Candidate:
    file = tmp_path / f"{precision}{size}.tflite"
    file.write_bytes(bytes(size))
    return Candidate(
        recipe=Recipe(format="tflite", precision=precision, steps=()),
        status="rejected" if limit else "accepted",
        reason="",
        limit=limit,
        artifact=Artifact(format="tflite", files=(file,), inputs=(), outputs=()),
        measurement=replace(_MEASURED, speedup_vs_float=speedup, latency_median_ms=4 / speedup),
        relative_latency=1 / speedup,
    )


def test_nothing_is_aimed_at_when_a_candidate_is_within_the_budget(tmp_path: Path) -> None:
    tried = [_candidate(tmp_path, limit="max_latency"), _candidate(tmp_path, limit=None, precision="float16")]
    assert find_aim(tried, Budget(max_latency_ratio=0.2), always=False) is None


def test_nothing_is_aimed_at_when_accuracy_alone_is_missed(tmp_path: Path) -> None:
    assert find_aim([_candidate(tmp_path, limit="max_drop")], Budget(max_drop=0.0), always=False) is None


@pytest.mark.parametrize(
    ("budget", "kind", "ratio"),
    [
        (Budget(max_latency_ratio=0.25), "latency", 0.5),
        (Budget(max_latency_ms=0.5), "latency", 0.25),
        (Budget(max_size_bytes=400), "size", 0.4),
        (Budget(max_size_bytes=400, max_latency_ratio=0.1), "latency", 0.2),
    ],
)
def test_the_aim_is_what_the_tightest_limit_leaves_of_the_nearest_candidate(
    tmp_path: Path, budget: Budget, kind: str, ratio: float
) -> None:
    near = _candidate(tmp_path, limit="max_latency")
    far = _candidate(tmp_path, limit="max_latency", precision="float16", size=2000, speedup=1.0)
    aim = find_aim([far, near], budget, always=False)
    assert aim is not None
    assert aim.kind == kind
    assert aim.ratio == pytest.approx(ratio * MARGIN)
    assert aim.reference is near


def test_always_goes_on_from_the_fastest_accepted_candidate(tmp_path: Path) -> None:
    slow = _candidate(tmp_path, limit=None, precision="float16", speedup=1.0)
    fast = _candidate(tmp_path, limit=None)
    aim = find_aim([slow, fast], Budget(), always=True)
    assert aim is not None
    assert (aim.reference, aim.ratio) == (fast, 0.5)


@pytest.mark.parametrize(
    ("reached", "missed", "ratio"), [(0.5, None, 0.25), (1.0, 0.25, 0.5), (0.5, 0.32, 0.4), (0.5, 0.45, None)]
)
def test_the_narrowest_accepted_network_is_searched_between_what_was_reached_and_missed(
    tmp_path: Path, reached: float, missed: float | None, ratio: float | None
) -> None:
    aim = find_aim([_candidate(tmp_path, limit=None)], Budget(), always=True)
    assert aim is not None
    found = between(aim, reached=reached, missed=missed)
    assert (found.ratio if found else None) == (pytest.approx(ratio) if ratio else None)


def test_a_network_that_came_out_too_slow_makes_the_next_one_narrower(tmp_path: Path) -> None:
    aim = find_aim([_candidate(tmp_path, limit="max_latency")], Budget(max_latency_ratio=0.25), always=False)
    assert aim is not None
    made = _candidate(tmp_path, limit="max_latency", speedup=2 / 0.6)
    assert cost_of(made, aim) == pytest.approx(0.6)
    assert tightened(aim, 0.6).ratio < aim.ratio * aim.ratio / 0.6
