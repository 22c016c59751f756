"""What the yardstick tells of two sessions: which rounds are compared, and when nothing can be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai.benchmarking.compared import compare_stored, slower_than, unproven_slower
from edgeai.benchmarking.result import Noise, Yardstick
from edgeai.benchmarking.yardstick import CALM, calm_rounds, slowness, undisturbed_ms
from edgeai_runtime.bench.yardsticks import sum_of_squares, yardsticks

Make = Callable[..., Any]
ROUNDS = 200
POWERS = {"squares": 1.7, "copy": 0.8}
"""How much more, or less, than the model a yardstick suffers."""


@pytest.fixture
def session(make_run: Make, make_document: Make) -> Make:
    """Return a document of one run of `ms`, of whose rounds a share was disturbed: model and yardstick slower."""

    def make(
        ms: float = 1.0, *, share: float = 0.0, times: float = 1.3, version: int = 1, seed: int = 0, **machine: str
    ) -> Any:
        draw = np.random.default_rng(seed)
        slower = np.where(np.arange(ROUNDS) < share * ROUNDS, times, 1.0)

        def rounds(quiet_ms: float, power: float) -> tuple[float, ...]:
            return tuple(map(float, quiet_ms * slower**power * np.exp(draw.normal(scale=0.005, size=ROUNDS))))

        noise = Noise(noisy=share > 0, reason="disturbed", spread=0.01, load=None)
        document = make_document(make_run("a.onnx", rounds_ms=rounds(ms, 1.0), noise=noise))
        told = [
            vars(Yardstick(group=0, name=f"{name}/{version}", rounds_ms=rounds(0.08, power)))
            for name, power in POWERS.items()
        ]
        changed = {**document["machine"], **machine}
        return {**document, "machine": changed, "yardsticks": told}

    return make


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
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
    first = "this proves nothing, since a session was disturbed; the machine itself was 1.56 times slower"
    assert pair[0].note.startswith(first)
    assert slower_than(pair, 0.05) == ()
    assert len(unproven_slower(pair, 0.05)) == 1
    (back,) = compare_stored(session(seed=2, share=1.0), session(seed=1))
    assert "the machine itself was 1.56 times faster in the new session" in back.note


def test_a_calm_moment_of_a_disturbed_session_proves_nothing(session: Make) -> None:
    (found,) = compare_stored(session(seed=1), session(seed=2, share=0.9))
    assert found.disturbed


def test_a_machine_that_is_slower_by_less_than_what_counts_as_disturbed_is_in_the_interval(session: Make) -> None:
    old, new = session(seed=1), session(seed=2, share=1.0, times=1.05)
    assert compare_stored(old, new)[0].ratio == pytest.approx(1.05, abs=0.01)
    assert slower_than(compare_stored(old, new), 0.0) == ()


def test_calm_rounds_of_the_calling_thread_do_not_excuse_noise_on_other_cores(session: Make) -> None:
    old, new = session(seed=1), session(1.3, seed=2, share=0.3)
    assert not compare_stored(old, new)[0].disturbed
    for document in (old, new):
        document["runs"][0]["threads"] = 2
    assert compare_stored(old, new)[0].disturbed


def test_what_ran_on_a_gpu_is_not_judged_by_the_processors_yardsticks(session: Make) -> None:
    old, new = session(seed=1), session(seed=2, share=0.6)
    for document in (old, new):
        document["runs"][0]["ran_on"] = "gpu"
    (found,) = compare_stored(old, new)
    assert "calm" not in found.note


@pytest.mark.parametrize("why", [{"version": 2}, {"python": "3.14.0"}, {"cpu": "another"}])
def test_yardsticks_that_do_not_mean_the_same_are_not_compared(session: Make, why: dict[str, Any]) -> None:
    (found,) = compare_stored(session(seed=1), session(seed=2, share=1.0, **why))
    assert found.ratio == pytest.approx(1.3, abs=0.01)
    assert "the machine itself" not in found.note
    assert found.disturbed  # the run says that it was noisy, and no yardstick tells by how much


def test_a_quiet_run_without_a_yardstick_may_prove_something(session: Make) -> None:
    old, new = ({**session(ms, seed=1), "yardsticks": []} for ms in (1.0, 1.3))
    pair = compare_stored(old, new)
    assert not pair[0].disturbed
    assert len(slower_than(pair, 0.05)) == 1


def test_a_round_is_calm_when_every_yardstick_is_near_its_fastest_before_and_after_it_too() -> None:
    assert undisturbed_ms([1.0] * 20, [1.5] * 20) == 1.0
    slow = slowness({"a": [2.0, 2.0, 3.0, 2.0, 2.0, 2.0], "b": [1.0] * 5 + [CALM]}, {"a": 2.0, "b": 1.0})
    assert slow.tolist() == [1.0, 1.0, 1.5, 1.0, 1.0, CALM]
    assert calm_rounds(slow).tolist() == [True, False, False, False, True, True]


def test_the_yardsticks_do_their_work() -> None:
    assert sum_of_squares() == sum(number**2 for number in range(2000))
    for work in yardsticks().values():
        work()
