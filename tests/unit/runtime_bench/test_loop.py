"""What the timing loop promises about its rounds, blocks and order; no test here depends on how fast anything is."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.errors import UsageError


def _recorder(log: list[str], name: str) -> Callable[[], None]:
    def call() -> None:
        log.append(name)
        time.sleep(0.003)  # longer than a block, so that a block is one call

    return call


def test_every_call_gets_the_same_number_of_rounds_and_at_least_those_asked_for() -> None:
    samples = interleave({"a": lambda: None, "b": lambda: time.sleep(0.001)}, duration_s=0, min_rounds=7, warmup_s=0)

    assert len(samples["a"].round_ms) == len(samples["b"].round_ms) == 7


def test_each_round_holds_every_call_once_in_an_order_that_changes() -> None:
    log: list[str] = []
    interleave({name: _recorder(log, name) for name in "abc"}, duration_s=0, min_rounds=12, warmup_s=0)
    rounds = ["".join(log[start : start + 3]) for start in range(3, len(log), 3)]  # one warm-up call each comes first

    assert len(rounds) == 12
    assert {"".join(sorted(one)) for one in rounds} == {"abc"}
    assert len(set(rounds)) > 1


def test_the_order_is_the_same_for_the_same_seed() -> None:
    logs: list[list[str]] = [[], []]
    for log in logs:
        interleave({name: _recorder(log, name) for name in "abc"}, duration_s=0, min_rounds=6, warmup_s=0, seed=5)

    assert logs[0] == logs[1]


def test_a_short_call_is_timed_many_times_per_round() -> None:
    samples = interleave({"a": lambda: None}, duration_s=0, min_rounds=5, warmup_s=0.01)

    assert len(samples["a"].call_ms) > 50 * len(samples["a"].round_ms)


def test_times_are_milliseconds() -> None:
    samples = interleave({"sleep": lambda: time.sleep(0.005)}, duration_s=0, min_rounds=5, warmup_s=0)

    assert np.min(samples["sleep"].call_ms) >= 5.0


def test_an_error_of_a_call_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        interleave({"bad": lambda: 1 / 0}, duration_s=0)


def test_nothing_to_time_is_an_error() -> None:
    with pytest.raises(UsageError, match="no call"):
        interleave({})


@pytest.mark.parametrize("wrong", [{"min_rounds": 0}, {"duration_s": -1.0}, {"warmup_s": -0.1}])
def test_senseless_numbers_are_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="positive"):
        interleave({"a": lambda: None}, **wrong)  # type: ignore[arg-type]
