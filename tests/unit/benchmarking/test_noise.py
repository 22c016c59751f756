"""When a measurement is called noisy, and how often it is made again."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edgeai.benchmarking.noise import judge_noise, repeat_while_noisy
from edgeai.benchmarking.ratio import MOST_VALUES, ratio_of_groups
from edgeai.benchmarking.result import Noise
from edgeai_runtime.errors import UsageError

ROUNDS = 100


def rounds(scatter: float = 0.005, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Rounds of 10 ms, with a log-normal scatter."""
    return 10 * np.exp(np.random.default_rng(seed).normal(scale=scatter, size=ROUNDS))


def test_steady_rounds_on_an_idle_machine_are_quiet() -> None:
    found = judge_noise(rounds().tolist(), load_before=0.02, load_after=0.1, cores=4)

    assert not found.noisy
    assert found.reason.startswith("quiet")
    assert found.load == 0.1
    assert 0 < found.spread < 0.005


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (rounds(scatter=0.5), "the median is known to ±"),
        (rounds() * np.where(np.arange(ROUNDS) % 2, 1.1, 1.0), "even rounds are faster than odd ones"),
        (rounds() * np.where(np.arange(ROUNDS) < ROUNDS // 2, 1.0, 1.2), "second half took 1.20 times"),
        (rounds() * np.where(np.arange(ROUNDS) < ROUNDS // 2, 1.2, 1.0), "second half took 0.83 times"),
    ],
)
def test_rounds_that_do_not_agree_with_each_other_are_noisy(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], words: str
) -> None:
    found = judge_noise(values.tolist())

    assert found.noisy
    assert words in found.reason
    assert found.load is None


@pytest.mark.parametrize(
    ("load", "cores", "noisy"), [(0.5, 2, True), (0.5, 8, False), (1.5, 8, True), (None, 2, False)]
)
def test_other_processes_count_by_their_share_of_the_machine(load: float | None, cores: int, noisy: bool) -> None:
    found = judge_noise(rounds().tolist(), load_before=None, load_after=load, cores=cores)

    assert found.noisy is noisy
    assert ("other processes took" in found.reason) is noisy


def test_quiet_rounds_are_seldom_called_noisy() -> None:
    wrong = sum(judge_noise(rounds(scatter=0.02, seed=seed).tolist(), cores=2).noisy for seed in range(200))

    assert wrong <= 6


def test_few_rounds_are_judged_by_their_spread_alone() -> None:
    assert not judge_noise([10.0, 10.1, 10.0, 10.1]).noisy
    assert judge_noise([10.0, 15.0, 20.0]).noisy


def test_nothing_measured_is_not_judged() -> None:
    with pytest.raises(UsageError, match="no rounds"):
        judge_noise([])


def noise(noisy: bool, spread: float) -> Noise:
    return Noise(noisy=noisy, reason="because", spread=spread, load=None)


def test_the_first_quiet_measurement_ends_the_repeats() -> None:
    found = iter([("a", noise(True, 0.3)), ("b", noise(True, 0.2)), ("c", noise(False, 0.4)), ("d", noise(False, 0.0))])
    said: list[str] = []

    best, verdict = repeat_while_noisy(lambda: next(found), budget_s=5.0, on_step=lambda *step: said.append(step[2]))

    assert best == "c"
    assert (verdict.noisy, verdict.repeats, len(said)) == (False, 2, 2)


def test_when_all_are_noisy_the_one_that_spreads_least_is_returned_in_time() -> None:
    spreads = iter([0.3, 0.1, *[0.2] * 100])
    start = time.perf_counter()

    def measure() -> tuple[float, Noise]:
        time.sleep(0.02)
        spread = next(spreads)
        return spread, noise(True, spread)

    best, verdict = repeat_while_noisy(measure, budget_s=0.3)

    assert best == 0.1
    assert verdict.noisy
    assert verdict.repeats >= 1
    assert time.perf_counter() - start < 3.0


def test_without_a_budget_nothing_is_measured_again() -> None:
    _, verdict = repeat_while_noisy(lambda: (1, noise(True, 0.5)), budget_s=0)

    assert verdict.repeats == 0


def test_the_interval_of_a_ratio_holds_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        later, earlier = 1.1 * np.exp(draw.normal(scale=0.1, size=15)), np.exp(draw.normal(scale=0.1, size=15))
        low, high = ratio_of_groups(later.tolist(), earlier.tolist())[1]
        held += low <= 1.1 <= high

    assert 0.91 <= held / 400 <= 0.99


def test_long_runs_are_compared_in_bins() -> None:
    ratio, (low, high) = ratio_of_groups([2.0] * (10 * MOST_VALUES), [1.0] * (10 * MOST_VALUES + 3))

    assert (ratio, low, high) == (2.0, 2.0, 2.0)


def test_a_machine_whose_yardstick_is_slow_in_most_rounds_is_noisy_and_earlier_measurements_know_what_is_slow() -> None:
    model, quick, slow = rounds().tolist(), [1.0] * ROUNDS, [1.0] * 40 + [1.5] * 60
    assert judge_noise(model, yardsticks_ms={"a": quick}).calm == 1.0
    found = judge_noise(model, yardsticks_ms={"a": quick, "b": slow})
    assert found.noisy
    assert "the machine itself was 1.50 times slower in 60% of the rounds" in found.reason
    assert found.calm == pytest.approx(0.4, abs=0.02)
    assert not judge_noise(model, yardsticks_ms={"a": [1.5] * ROUNDS}).noisy
    assert judge_noise(model, yardsticks_ms={"a": [1.5] * ROUNDS}, floors_ms={"a": 1.0}).noisy


def test_of_noisy_measurements_the_calmest_is_kept_and_of_these_the_one_that_spreads_least() -> None:
    told = iter([(0.2, 0.001), (0.6, 0.02), (0.6, 0.01), *[(0.1, 0.0001)] * 100])

    def measure() -> tuple[float, Noise]:
        time.sleep(0.02)
        calm, spread = next(told)
        return spread, Noise(noisy=True, reason="because", spread=spread, load=None, calm=calm)

    assert repeat_while_noisy(measure, budget_s=0.5)[0] == 0.01
