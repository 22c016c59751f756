"""MLPerf's load generator and our harness give the same figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from edgeai.benchmarking.loadgen import run_loadgen
from edgeai_runtime.bench.percentiles import over_allowed, percentile, percentile_bound
from edgeai_runtime.bench.scenarios import METRICS, run_scenario
from edgeai_runtime.errors import EngineError

loadgen = pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")

#: Between our clock and the generator's lies a callback from C++; the system may take the processor away there. A
#: percentile of another rank would be of the other kind of query, 19 ms away.
CALLBACK_MS = 8.0

#: Two runs at different times on a machine that others use too; the times are made by sleeping, mostly.
BETWEEN_RUNS = 0.35


def _timed(times: list[float]) -> Callable[[int], object]:
    """A query of one millisecond, one in seven of twenty; what each took is kept, in milliseconds."""

    def issue(samples: int) -> None:
        start = time.perf_counter()
        time.sleep(2e-2 if len(times) % 7 == 0 else 1e-3)
        times.append((time.perf_counter() - start) * 1e3)

    return issue


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream"])
def test_percentile_and_bound_of_a_run_are_those_that_we_compute_from_its_calls(scenario: Any) -> None:
    times: list[float] = []

    outcome = run_loadgen([_timed(times)], scenario=scenario, tier="quick", duration_s=0.5)
    own = times[-outcome.queries :]
    share = METRICS[scenario][1]

    assert outcome.value == pytest.approx(percentile(own, share), abs=CALLBACK_MS)
    assert (outcome.bound is None) == (percentile_bound(own, share) is None)
    if outcome.bound is not None:
        assert outcome.bound == pytest.approx(percentile_bound(own, share), abs=CALLBACK_MS)
        assert (outcome.detail or {})["queries_discarded"] == over_allowed(outcome.queries, share) - 1


@pytest.mark.parametrize("scenario", ["single_stream", "offline"])
def test_both_drivers_give_the_same_figure(scenario: Any) -> None:
    ours = run_scenario(_timed([]), scenario=scenario, duration_s=0.7)
    theirs = run_loadgen([_timed([])], scenario=scenario, tier="quick", duration_s=0.7)

    assert theirs.metric == ours.metric
    assert theirs.driver == "loadgen"
    if scenario == "single_stream":
        assert theirs.value == pytest.approx(ours.value, rel=BETWEEN_RUNS)
    assert not theirs.valid
    assert "10 s are needed" in theirs.reason


def test_server_is_judged_by_the_generator_at_the_rate_we_found() -> None:
    outcome = run_loadgen(
        [lambda _: time.sleep(1e-3)] * 2,
        scenario="server",
        tier="quick",
        latency_bound_ms=50.0,
        duration_s=0.3,
    )
    detail = outcome.detail or {}

    assert outcome.metric == "queries_per_s"
    assert outcome.value > 0
    assert detail["over"] <= max(0, over_allowed(outcome.queries, 0.99))
    assert outcome.value <= 1.1 * max(detail[key] for key in detail if key.endswith("_rate_per_s"))


def test_server_of_a_model_slower_than_the_bound_ends_after_a_few_calls() -> None:
    calls: list[int] = []

    outcome = run_loadgen(
        [lambda n: (calls.append(n), time.sleep(5e-3))], scenario="server", tier="normal", latency_bound_ms=0.5
    )

    assert (outcome.value, outcome.valid) == (0.0, False)
    assert outcome.reason.endswith("no rate tried kept p99 within 0.5 ms")
    assert len(calls) < 200


def test_offline_of_a_slow_model_ends_and_says_how_many_samples_are_needed() -> None:
    outcome = run_loadgen([lambda n: time.sleep(2e-2 * n)], scenario="offline", tier="quick", duration_s=0.3)

    assert outcome.samples < 200
    assert not outcome.valid
    assert "1024 samples are needed" in outcome.reason


def test_more_queries_than_the_memory_holds_are_refused_before_they_are_made() -> None:
    with pytest.raises(EngineError, match="makes all queries before it begins"):
        run_loadgen([lambda _: None], scenario="single_stream", tier="quick", duration_s=1e9)


def test_progress_tells_seconds_and_queries() -> None:
    steps: list[tuple[int, int, str]] = []

    run_loadgen(
        [lambda _: time.sleep(1e-3)],
        scenario="single_stream",
        tier="quick",
        duration_s=1.5,
        on_step=lambda *step: steps.append(step),
    )

    assert (steps[0][0], steps[0][1]) == (1, 2)
    assert int(steps[0][2].split()[0]) > 10


def test_error_of_a_call_comes_out_of_the_generator() -> None:
    def fail(_: int) -> None:
        raise RuntimeError("the engine is gone")

    calls = iter([lambda _: None, fail])
    with pytest.raises(RuntimeError, match="the engine is gone"):
        run_loadgen(
            [lambda samples: next(calls, fail)(samples)], scenario="single_stream", tier="quick", duration_s=0.2
        )
