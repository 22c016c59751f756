"""Candidates are held against the budget by their intervals, not by single numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeai_converters.search.judge import reject_for_cost, reject_on_certificate, reject_on_search_split
from edgeai_converters.spec import Budget
from edgeai_runtime.manifest import Certificate, Measurement

MEASURED = Measurement(
    engine="litert",
    engine_version="2.3.0",
    delegate="litert:xnnpack",
    threads=1,
    latency_median_ms=2.0,
    latency_p90_ms=2.5,
    latency_median_ci95_ms=(1.9, 2.1),
    speedup_vs_float=2.0,
    speedup_ci95=(1.8, 2.2),
    peak_memory_mib=10.0,
    machine={},
)
CLAIM = Certificate(
    metric="top1",
    source_score=0.9,
    score=0.895,
    drop=0.005,
    drop_ci95=(-0.001, 0.012),
    flip_rate=0.02,
    n=500,
    max_drop=0.01,
    verdict="unproven",
    samples_needed=900,
    method="score interval",
    split="certification",
)


def _slowed(low: float, high: float) -> Measurement:
    return replace(MEASURED, speedup_vs_float=(low + high) / 2, speedup_ci95=(low, high))


def test_a_candidate_whose_whole_interval_is_slower_than_float_is_rejected_with_its_ratio() -> None:
    found = reject_for_cost(precision="int8", size_bytes=1, measurement=_slowed(0.4, 0.6), budget=Budget())
    assert found is not None
    assert found.limit == "slower_than_float"
    assert "2.00 times" in found.reason
    assert "1.67 to 2.50" in found.reason


def test_a_candidate_that_may_be_as_fast_as_float_is_kept() -> None:
    assert reject_for_cost(precision="float16", size_bytes=1, measurement=_slowed(0.95, 1.02), budget=Budget()) is None


def test_a_candidate_that_is_slower_by_more_than_two_copies_of_a_file_differ_is_rejected() -> None:
    found = reject_for_cost(precision="float16", size_bytes=1, measurement=_slowed(0.95, 0.975), budget=Budget())
    assert found is not None
    assert found.limit == "slower_than_float"


def test_float_itself_is_never_slower_than_float() -> None:
    assert reject_for_cost(precision="float32", size_bytes=1, measurement=_slowed(0.4, 0.6), budget=Budget()) is None


@pytest.mark.parametrize(
    ("budget", "limit", "excess"),
    [
        (Budget(max_size_bytes=80), "max_size", 0.25),
        (Budget(max_latency_ms=1.0), "max_latency", 1.0),
        (Budget(max_latency_ratio=0.4), "max_latency", 0.25),
        (Budget(max_memory_mib=8.0), "max_memory", 0.25),
    ],
)
def test_a_broken_limit_is_named_with_how_far_it_is_missed(budget: Budget, limit: str, excess: float) -> None:
    found = reject_for_cost(precision="int8", size_bytes=100, measurement=MEASURED, budget=budget)
    assert found is not None
    assert found.limit == limit
    assert found.excess == pytest.approx(excess)


def test_a_size_is_told_to_the_byte() -> None:
    budget = Budget(max_size_bytes=200_000)
    found = reject_for_cost(precision="int8", size_bytes=209_617, measurement=MEASURED, budget=budget)
    assert found is not None
    assert "size 209617 bytes is over the limit of 200000 bytes" in found.reason


def test_the_users_limits_come_before_the_promise_on_speed_and_every_broken_one_is_told() -> None:
    slow = _slowed(0.4, 0.6)
    found = reject_for_cost(precision="int8", size_bytes=300, measurement=slow, budget=Budget(max_size_bytes=100))
    assert found is not None
    assert found.limit == "max_size"
    assert "slower than float" in found.reason
    assert found.excess == pytest.approx(2.0)


def test_the_search_split_rejects_only_what_can_not_be_within_the_budget() -> None:
    far = replace(CLAIM, drop=0.05, drop_ci95=(0.02, 0.08), split="search")
    near = replace(CLAIM, drop=0.02, drop_ci95=(0.005, 0.04), split="search")
    assert reject_on_search_split(far, Budget(max_drop=0.01)) is not None
    assert reject_on_search_split(near, Budget(max_drop=0.01)) is None


def test_a_violated_certificate_is_rejected_and_an_unproven_one_is_not() -> None:
    violated = replace(CLAIM, drop=0.02, verdict="violated")
    found = reject_on_certificate(violated, Budget(max_drop=0.01))
    assert found is not None
    assert found.limit == "max_drop"
    assert reject_on_certificate(CLAIM, Budget(max_drop=0.01)) is None


def test_strict_takes_only_certified_candidates_and_says_how_many_samples_would_do() -> None:
    found = reject_on_certificate(CLAIM, Budget(max_drop=0.01, strict=True))
    assert found is not None
    assert found.limit == "strict"
    assert "900 samples" in found.reason


def test_without_a_limit_on_the_drop_nothing_is_rejected_for_it() -> None:
    bad = replace(CLAIM, drop=0.5, drop_ci95=(0.4, 0.6), verdict="violated")
    assert reject_on_search_split(bad, Budget(max_drop=None)) is None
    assert reject_on_certificate(bad, Budget(max_drop=None)) is None
