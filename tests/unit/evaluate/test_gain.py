"""The gain of a training: its sign, its interval, and what it is paired with."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_converters.evaluate.certificate import certify
from edgeai_converters.evaluate.gain import measure_gain
from edgeai_converters.evaluate.metrics import get_metric

LABELS = np.arange(400) % 4
RIGHT = np.eye(4)[LABELS]
REFERENCE = {"y": RIGHT}


def _wrong_on(share: float, seed: int) -> dict[str, np.ndarray]:
    wrong = np.random.default_rng(seed).random(len(LABELS)) < share
    return {"y": np.where(wrong[:, None], np.roll(RIGHT, 1, axis=1), RIGHT)}


def test_gain_of_a_share_of_right_answers_is_the_drop_turned_round() -> None:
    before, after = _wrong_on(0.3, 1), _wrong_on(0.1, 2)
    metric = get_metric("top1", has_labels=True)
    gain = measure_gain(metric, before, after, labels=LABELS, reference=REFERENCE)
    claim = certify(metric, source_outputs=before, outputs=after, labels=LABELS, max_drop=None, split="certification")
    assert gain.gain == pytest.approx(-claim.drop)
    assert gain.gain_ci95 == pytest.approx((-claim.drop_ci95[1], -claim.drop_ci95[0]))
    assert (gain.n, gain.method) == (400, claim.method)
    assert gain.gain_ci95[0] > 0


def test_gain_in_agreement_is_measured_against_the_reference_and_not_against_before() -> None:
    before, after = _wrong_on(0.3, 1), _wrong_on(0.1, 2)
    gain = measure_gain(get_metric("agreement", has_labels=False), before, after, labels=None, reference=REFERENCE)
    shares = [float((one["y"].argmax(1) == LABELS).mean()) for one in (before, after)]
    assert gain.gain == pytest.approx(shares[1] - shares[0])


def test_smaller_errors_are_a_gain() -> None:
    targets = np.random.default_rng(0).normal(size=(200, 1))
    noise = np.random.default_rng(1).normal(size=(200, 1))
    before, after = {"y": targets + noise}, {"y": targets + 0.5 * noise}
    gain = measure_gain(get_metric("mae", has_labels=True), before, after, labels=targets, reference={"y": targets})
    assert gain.gain_ci95[0] > 0
    assert gain.gain_ci95[0] < gain.gain < gain.gain_ci95[1]


def test_without_a_change_the_interval_holds_zero() -> None:
    same = _wrong_on(0.2, 3)
    gain = measure_gain(get_metric("top1", has_labels=True), same, same, labels=LABELS, reference=REFERENCE)
    assert gain.gain == 0
    assert gain.gain_ci95[0] < 0 < gain.gain_ci95[1]
