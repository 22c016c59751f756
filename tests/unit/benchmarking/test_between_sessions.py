"""What the yardstick tells of two sessions: which rounds are compared, and when nothing can be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai.benchmarking.compared import compare_stored, slower_than, unproven_slower
from edgeai.benchmarking.result import Noise, Yardstick
from edgeai.benchmarking.yardstick import CALM, calm_rounds, undisturbed_ms, yardstick

Make = Callable[..., Any]
ROUNDS = 200
QUIET_MS = 0.073


@pytest.fixture
def session(make_run: Make, make_document: Make) -> Make:
    """Return a document of one run of `ms`, of whose rounds a share was disturbed: model and yardstick slower."""

    def make(
        ms: float = 1.0, *, share: float = 0.0, times: float = 1.3, name: str = "squares", seed: int = 0, **machine: str
    ) -> Any:
        draw = np.random.default_rng(seed)
        disturbed = np.arange(ROUNDS) < share * ROUNDS
        model = ms * np.where(disturbed, times, 1.0) * np.exp(draw.normal(scale=0.004, size=ROUNDS))
        sticks = QUIET_MS * np.where(disturbed, times**1.7, 1.0) * np.exp(draw.normal(scale=0.01, size=ROUNDS))
        noise = Noise(noisy=share > 0, reason="disturbed", spread=0.01, load=None)
        document = make_document(make_run("a.onnx", rounds_ms=tuple(map(float, model)), noise=noise))
        told = Yardstick(group=0, name=name, rounds_ms=tuple(map(float, sticks)))
        changed = {**document["machine"], **machine}
        return {**document, "machine": changed, "yardsticks": [{**vars(told)}]}

    return make


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_one_file_is_no_difference_to_itself_and_five_percent_more_are_found_on_a_disturbed_machine(
    session: Make, share: float
) -> None:
    old, same, worse = session(seed=1), session(seed=2, share=share), session(1.05, seed=3, share=share)
    (found,) = compare_stored(old, same)
    assert found.verdict == "no_difference"
    assert found.ratio == pytest.approx(1.0, abs=0.01)
    assert not found.disturbed
    assert ("by the calm rounds, 100% of the old run" in found.note) is (share > 0)
    (found,) = compare_stored(old, worse)
    assert (found.verdict, found.ratio) == ("slower", pytest.approx(1.05, abs=0.01))


def test_a_session_that_was_disturbed_from_begin_to_end_proves_nothing(session: Make) -> None:
    pair = compare_stored(session(seed=1), session(seed=2, share=1.0))
    assert pair[0].ratio == pytest.approx(1.3, abs=0.01)
    assert pair[0].verdict == "no_difference"
    assert pair[0].disturbed
    assert "the machine itself was 1.56 times slower in the new session" in pair[0].note
    assert slower_than(pair, 0.05) == ()
    assert len(unproven_slower(pair, 0.05)) == 1
    (back,) = compare_stored(session(seed=2, share=1.0), session(seed=1))
    assert "the machine itself was 1.56 times faster in the new session" in back.note


@pytest.mark.parametrize("why", [{"name": "other work"}, {"python": "3.14.0"}, {"cpu": "another"}])
def test_yardsticks_that_do_not_mean_the_same_are_not_compared(session: Make, why: dict[str, str]) -> None:
    (found,) = compare_stored(session(seed=1), session(seed=2, share=1.0, **why))
    assert found.ratio == pytest.approx(1.3, abs=0.01)
    assert "the machine itself" not in found.note
    assert found.disturbed  # the run says that it was noisy, and no yardstick tells by how much


def test_a_quiet_run_without_a_yardstick_may_prove_something(session: Make) -> None:
    old, new = ({**session(ms, seed=1), "yardsticks": []} for ms in (1.0, 1.3))
    pair = compare_stored(old, new)
    assert not pair[0].disturbed
    assert len(slower_than(pair, 0.05)) == 1


def test_calm_rounds_are_those_near_the_fastest_of_both_sessions() -> None:
    quiet, busy = [1.0] * 20, [1.5] * 20
    assert undisturbed_ms(quiet, busy) == 1.0
    assert calm_rounds([1.0, CALM, CALM + 0.01], 1.0).tolist() == [True, True, False]
    assert yardstick() == sum(number**2 for number in range(2000))
