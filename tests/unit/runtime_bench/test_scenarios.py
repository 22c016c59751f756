"""MLPerf's scenarios on a clock of our own: what is counted, when a run ends, and which rate a server finds."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edgeai_runtime.bench import scenarios, server
from edgeai_runtime.bench.scenarios import run_scenario
from edgeai_runtime.bench.server import confirm_rate, draw_arrivals, serve
from edgeai_runtime.bench.tiers import SCENARIOS, TIERS, get_limits
from edgeai_runtime.errors import UsageError

SERVICE_MS = 2.0


class _Clock:
    """Time that passes when a query is answered or somebody sleeps, and a little whenever it is asked."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        self.now += 1e-8
        return self.now

    def perf_counter_ns(self) -> int:
        return round(self.perf_counter() * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)

    def pass_by(self, milliseconds: float) -> None:
        self.now += milliseconds * 1e-3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    made = _Clock()
    monkeypatch.setattr(scenarios, "time", made)
    monkeypatch.setattr(server, "time", made)
    return made


@pytest.fixture
def answer(clock: _Clock) -> Callable[[int], object]:
    """A query takes two milliseconds per sample."""
    return lambda samples: clock.pass_by(SERVICE_MS * samples)


def test_single_stream_runs_as_long_as_the_tier_demands_and_gives_the_90th_percentile(clock: _Clock) -> None:
    calls = iter(range(10**6))

    result = run_scenario(lambda _: clock.pass_by(10.0 if next(calls) % 20 == 0 else 2.0), scenario="single_stream")

    assert result.metric == "p90_latency_ms"
    assert result.value == pytest.approx(2.0, abs=0.01)
    assert result.detail["p97_ms"] == pytest.approx(10.0, abs=0.01)
    assert result.seconds == pytest.approx(10.0, abs=0.02)
    assert result.valid
    assert result.bound == pytest.approx(2.0, abs=0.01)


def test_slow_calls_run_until_there_are_enough_queries(clock: _Clock) -> None:
    result = run_scenario(lambda _: clock.pass_by(250.0), scenario="single_stream")

    assert (result.queries, result.valid) == (128, True)


def test_run_that_can_not_get_its_queries_in_time_ends_and_says_how_many_are_needed(clock: _Clock) -> None:
    result = run_scenario(lambda _: clock.pass_by(2000.0), scenario="single_stream")

    assert result.seconds == pytest.approx(60.0, abs=2.0)
    assert (result.valid, result.bound) == (False, None)
    assert "30 queries" in result.reason
    assert "128 queries are needed" in result.reason


def test_run_shorter_than_the_tier_demands_is_not_valid(answer: Callable[[int], object]) -> None:
    result = run_scenario(answer, scenario="single_stream", duration_s=3.0)

    assert result.seconds == pytest.approx(3.0, abs=0.01)
    assert not result.valid
    assert "10 s are needed" in result.reason


def test_query_of_multi_stream_has_several_samples(answer: Callable[[int], object]) -> None:
    result = run_scenario(answer, scenario="multi_stream", samples_per_query=4)

    assert result.value == pytest.approx(4 * SERVICE_MS, abs=0.01)
    assert result.samples == 4 * result.queries


def test_offline_is_one_query_that_lasts_as_long_as_the_tier_demands(answer: Callable[[int], object]) -> None:
    result = run_scenario(answer, scenario="offline")

    assert result.queries == 1
    assert result.value == pytest.approx(1e3 / SERVICE_MS, rel=1e-3)
    assert result.seconds >= 10.0
    assert result.valid


def test_offline_takes_more_samples_when_the_first_were_too_few(clock: _Clock) -> None:
    calls = iter(range(10**6))
    # The first calls are slow, so that the speed is estimated far too low.
    result = run_scenario(lambda n: clock.pass_by((50.0 if next(calls) < 8 else 1.0) * n), scenario="offline")

    assert result.seconds >= 10.0
    assert result.value == pytest.approx(1000.0, rel=0.01)


@pytest.mark.parametrize("batch", [7, 256])
def test_offline_makes_calls_of_full_batches(clock: _Clock, batch: int) -> None:
    def issue(samples: int) -> None:
        clock.pass_by(20.0 * -(-samples // batch))  # a call of a full batch, whatever is asked for

    issue.batch = batch  # type: ignore[attr-defined]
    result = run_scenario(issue, scenario="offline")

    assert result.value == pytest.approx(batch / 0.020, rel=1e-3)
    assert result.valid


@pytest.mark.parametrize("scenario", ["single_stream", "server", "offline"])
def test_progress_is_in_seconds_of_the_run(answer: Callable[[int], object], scenario: str) -> None:
    steps: list[tuple[int, int]] = []

    run_scenario(answer, scenario=scenario, on_step=lambda done, total, label: steps.append((done, total)))

    last = [step for step in steps if step[1] >= 10][-1]
    assert all(0 <= done <= total for done, total in steps)
    assert len(steps) >= 8
    assert 8 <= last[0] <= last[1] <= 12


def test_progress_of_slow_calls_reckons_with_the_queries_that_are_needed(clock: _Clock) -> None:
    steps: list[tuple[int, int]] = []

    run_scenario(lambda _: clock.pass_by(250.0), scenario="single_stream", on_step=lambda *step: steps.append(step[:2]))

    assert steps[0][1] == pytest.approx(32, abs=1)  # 128 queries


def _waits(rate: float, service_s: float, seed: int = 0) -> np.ndarray:
    """Latencies of a queue with one server by Lindley's equation."""
    arrivals = draw_arrivals(rate, least_s=10.0, most_s=60.0, queries=662, seed=seed)
    free, latencies = 0.0, []
    for at in arrivals:
        free = max(free, at) + service_s
        latencies.append(free - at)
    return np.array(latencies)


def test_server_finds_the_highest_rate_of_a_queue_with_one_worker(answer: Callable[[int], object]) -> None:
    result = run_scenario(answer, scenario="server", latency_bound_ms=10.0)

    assert result.valid
    assert result.bound == result.value
    target = result.detail[max((k for k in result.detail if k.endswith("_rate_per_s")), key=lambda k: result.detail[k])]
    assert 0 < result.value <= target
    assert np.mean(_waits(result.value, SERVICE_MS * 1e-3) > 0.010) <= 0.01
    assert np.mean(_waits(1.15 * result.value, SERVICE_MS * 1e-3) > 0.010) > 0.01


def test_server_with_a_bound_below_the_service_time_holds_no_rate(answer: Callable[[int], object]) -> None:
    result = run_scenario(answer, scenario="server", latency_bound_ms=1.0)

    assert (result.value, result.bound, result.valid) == (0.0, None, False)
    assert "no rate tried kept p99 within 1 ms" in result.reason


def test_server_of_a_model_slower_than_the_bound_ends_after_a_few_calls(clock: _Clock) -> None:
    calls: list[int] = []

    result = run_scenario(lambda n: (calls.append(n), clock.pass_by(5000.0)), scenario="server", tier="normal")

    assert result.value == 0
    assert len(calls) < 15
    assert clock.now - 100.0 < 6.0 * len(calls)
    assert result.reason.endswith("no rate tried kept p99 within 10 ms")


@pytest.mark.parametrize("bound_ms", [5e3, 1e7])
def test_rate_of_a_server_is_what_was_answered_however_great_the_bound(
    answer: Callable[[int], object], clock: _Clock, bound_ms: float
) -> None:
    result = run_scenario(answer, scenario="server", latency_bound_ms=bound_ms)

    assert 0.9e3 / SERVICE_MS < result.value <= 1e3 / SERVICE_MS
    assert clock.now - 100.0 < 300.0


def test_rate_that_does_not_hold_is_lowered_in_growing_steps() -> None:
    tried: list[float] = []

    held, _ = confirm_rate(lambda rate: (tried.append(rate) or rate < 40, None), 100.0)

    assert held
    assert tried == pytest.approx([100, 90, 72, 50.4, 30.24])


def test_worker_that_waits_for_an_arrival_ends_when_another_gives_up() -> None:
    begin = time.perf_counter()

    served = serve([lambda _: None] * 2, np.array([0.0, 60.0]), bound_ms=1e-6, most_over=0)

    assert not served.held
    assert time.perf_counter() - begin < 10.0


def test_server_tells_what_it_tried(answer: Callable[[int], object]) -> None:
    steps: list[str] = []

    detail = run_scenario(
        answer, scenario="server", latency_bound_ms=10.0, on_step=lambda done, total, label: steps.append(label)
    ).detail

    held = {number for number in range(1, 21) if detail.get(f"probe_{number}_held") == 1.0}
    failed = {number for number in range(1, 21) if detail.get(f"probe_{number}_held") == 0.0}
    assert held
    assert failed
    assert max(detail[f"probe_{n}_rate_per_s"] for n in held) < min(detail[f"probe_{n}_rate_per_s"] for n in failed)
    assert any(step.startswith("trying") for step in steps)


def test_workers_share_the_samples_of_offline() -> None:
    done: dict[str, int] = {"a": 0, "b": 0}

    def worker(name: str) -> Callable[[int], object]:
        def issue(samples: int) -> None:
            done[name] += samples

        return issue

    result = run_scenario([worker("a"), worker("b")], scenario="offline", duration_s=0.02)

    assert result.detail["workers"] == 2
    assert sum(done.values()) >= result.samples >= 1024


def test_error_in_a_worker_of_a_server_comes_out() -> None:
    calls = iter(range(10**6))

    def fail(_: int) -> None:
        if next(calls) > 10:
            raise RuntimeError("the engine is gone")

    with pytest.raises(RuntimeError, match="the engine is gone"):
        run_scenario([lambda _: None, fail], scenario="server", duration_s=0.05)


def test_error_of_a_worker_ends_the_others_of_offline() -> None:
    def fail(_: int) -> None:
        raise RuntimeError("the engine is gone")

    begin = time.perf_counter()
    with pytest.raises(RuntimeError, match="the engine is gone"):
        scenarios.run_offline([lambda _: time.sleep(0.05), fail], 1000.0, get_limits("offline", "submission"), None)

    assert time.perf_counter() - begin < 10.0


def test_arrivals_are_a_poisson_process_of_the_rate_and_the_same_for_a_seed() -> None:
    arrivals = draw_arrivals(1000.0, least_s=20.0, most_s=100.0, queries=662, seed=3)
    gaps = np.diff(arrivals)

    assert arrivals[0] == 0.0
    assert arrivals[-1] >= 20.0
    assert gaps.mean() == pytest.approx(1e-3, rel=0.03)
    assert gaps.std() == pytest.approx(1e-3, rel=0.05)
    np.testing.assert_allclose(
        draw_arrivals(500.0, least_s=0.1, most_s=100.0, queries=100, seed=3)[:100], 2 * arrivals[:100]
    )


@pytest.mark.parametrize(("scenario", "queries"), [("single_stream", 64), ("multi_stream", 662), ("offline", 24576)])
def test_submission_is_what_mlperf_demands(scenario: str, queries: int) -> None:
    limits = get_limits(scenario, "submission")

    assert (limits.least_s, limits.queries) == (600.0, queries)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scenario": "singlestream"}, f"Scenarios: {', '.join(SCENARIOS)}"),
        ({"scenario": "offline", "tier": "fast"}, f"Tiers: {', '.join(TIERS)}"),
        ({"scenario": "offline", "duration_s": 0.0}, "above 0"),
        ({"scenario": "server", "latency_bound_ms": 0.0}, "bound above 0"),
        ({"scenario": "multi_stream", "samples_per_query": 0}, "0 samples"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_scenario(lambda _: None, **settings)  # type: ignore[arg-type]
    assert message in f"{caught.value.message} {caught.value.hint}"
