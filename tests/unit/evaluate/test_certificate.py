"""The certificate says what was lost, how sure that is, and judges it."""

from __future__ import annotations

import numpy as np
import pytest

from edgeai_converters.evaluate.certificate import certify, judge_drop
from edgeai_converters.evaluate.intervals import tango_interval, wilson_interval
from edgeai_converters.evaluate.metrics import get_metric
from edgeai_runtime.errors import DataError, ModelError
from edgeai_runtime.manifest import Certificate

Outputs = dict[str, np.ndarray]


def paired_outputs(n: int, *, lost: int, gained: int, both_wrong: int = 0) -> tuple[Outputs, Outputs, np.ndarray]:
    """Class scores of source and variant, and labels: the first `lost` samples are lost, the next `gained` gained."""
    labels = np.arange(n) % 10
    source, variant = labels.copy(), labels.copy()
    variant[:lost] += 1
    source[lost : lost + gained] += 1
    wrong = slice(lost + gained, lost + gained + both_wrong)
    source[wrong] += 1
    variant[wrong] += 2
    return {"out": np.eye(10)[source % 10]}, {"out": np.eye(10)[variant % 10]}, labels


def certificate_of(n: int, *, max_drop: float | None = 0.01, metric: str = "top1", **counts: int) -> Certificate:
    source, variant, labels = paired_outputs(n, **counts)
    return certify(
        get_metric(metric, has_labels=True),
        source_outputs=source,
        outputs=variant,
        labels=labels,
        max_drop=max_drop,
        split="certification",
    )


def test_a_binary_metric_gets_the_paired_score_interval() -> None:
    claim = certificate_of(1000, lost=12, gained=7, both_wrong=30)
    assert claim.drop == pytest.approx(0.005)
    assert claim.drop_ci95 == tango_interval(12, 7, 1000)
    assert claim.source_score == pytest.approx(0.963)
    assert claim.score == pytest.approx(0.958)
    assert claim.flip_rate == pytest.approx(0.049)
    assert claim.n == 1000
    assert "Tango 1998" in claim.method


@pytest.mark.parametrize(
    ("n", "lost", "gained", "verdict"),
    [(2000, 4, 4, "certified"), (300, 2, 0, "unproven"), (300, 9, 0, "violated"), (50, 0, 0, "unproven")],
)
def test_the_verdict_follows_the_point_and_the_upper_bound(n: int, lost: int, gained: int, verdict: str) -> None:
    claim = certificate_of(n, lost=lost, gained=gained)
    assert claim.verdict == verdict
    assert (claim.samples_needed is not None) == (verdict == "unproven")


@pytest.mark.parametrize(
    ("drop", "upper", "max_drop", "verdict"),
    [
        (0.005, 0.01, 0.01, "certified"),
        (0.01, 0.0101, 0.01, "unproven"),
        (0.0101, 0.02, 0.01, "violated"),
        (0.5, 0.9, None, "certified"),
    ],
)
def test_a_drop_is_judged_at_the_edges(drop: float, upper: float, max_drop: float | None, verdict: str) -> None:
    assert judge_drop(drop, upper, max_drop) == verdict


def test_without_any_change_381_samples_are_needed_for_one_point() -> None:
    assert certificate_of(50, lost=0, gained=0).samples_needed == 381
    assert certificate_of(381, lost=0, gained=0).verdict == "certified"
    assert certificate_of(380, lost=0, gained=0).verdict == "unproven"


@pytest.mark.parametrize("metric", ["top1", "agreement"])
def test_the_number_of_samples_needed_would_just_do_at_the_observed_rates(metric: str) -> None:
    claim = certificate_of(400, lost=2, gained=0, metric=metric)
    needed = claim.samples_needed
    assert needed is not None

    def upper(n: float) -> float:
        return (tango_interval(0.005 * n, 0, n) if metric == "top1" else wilson_interval(0.005 * n, n))[1]

    assert upper(needed) <= 0.01 < upper(needed - 1)


def test_no_number_of_samples_proves_a_drop_that_equals_the_budget() -> None:
    claim = certificate_of(400, lost=4, gained=0)
    assert claim.verdict == "unproven"
    assert claim.samples_needed is None


def test_a_budget_of_zero_can_not_be_certified_and_ends() -> None:
    claim = certificate_of(400, lost=0, gained=0, max_drop=0.0)
    assert claim.verdict == "unproven"
    assert claim.samples_needed is None


def test_agreement_is_certified_by_the_share_of_changed_predictions() -> None:
    claim = certificate_of(500, lost=3, gained=2, metric="agreement")
    assert claim.source_score == 1
    assert claim.drop == pytest.approx(0.01)
    assert claim.drop_ci95 == pytest.approx(wilson_interval(5, 500))
    assert claim.flip_rate == pytest.approx(0.01)
    assert "Wilson" in claim.method


def noisy_values(n: int, noise: float) -> tuple[Outputs, Outputs, np.ndarray]:
    random = np.random.default_rng(2)
    labels = random.normal(50, 10, size=n)
    source = labels + random.normal(0, 2, size=n)
    return {"out": source[:, None]}, {"out": (source + random.normal(0, noise, size=n))[:, None]}, labels


@pytest.mark.parametrize("name", ["mae", "rmse"])
def test_a_growing_error_is_a_drop_with_a_bootstrap_interval_around_it(name: str) -> None:
    source, variant, labels = noisy_values(400, 1.0)
    claim = certify(
        get_metric(name, has_labels=True),
        source_outputs=source,
        outputs=variant,
        labels=labels,
        max_drop=0.05,
        split="certification",
    )
    assert claim.drop == pytest.approx((claim.score - claim.source_score) / labels.std())
    assert 0 < claim.drop_ci95[0] < claim.drop < claim.drop_ci95[1] < 0.05
    assert claim.flip_rate is None
    assert claim.verdict == "certified"
    assert "bootstrap" in claim.method


def test_pairing_makes_the_interval_far_narrower_than_two_separate_ones() -> None:
    source, variant, labels = noisy_values(400, 0.2)
    claim = certify(
        get_metric("mae", has_labels=True),
        source_outputs=source,
        outputs=variant,
        labels=labels,
        max_drop=None,
        split="search",
    )
    errors = np.abs(source["out"][:, 0] - labels) / labels.std()
    apart = 2 * 1.96 * errors.std() * (2 / 400) ** 0.5
    assert claim.drop_ci95[1] - claim.drop_ci95[0] < apart / 3


def test_auc_is_resampled_and_certified() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, size=300)
    source = labels + random.normal(0, 1, size=300)
    variant = source + random.normal(0, 0.1, size=300)
    claim = certify(
        get_metric("auc", has_labels=True),
        source_outputs={"out": source[:, None]},
        outputs={"out": variant[:, None]},
        labels=labels,
        max_drop=0.05,
        split="certification",
    )
    assert claim.drop_ci95[0] <= claim.drop <= claim.drop_ci95[1]
    assert claim.verdict == "certified"


def test_more_samples_are_asked_for_when_a_bootstrap_does_not_prove_enough() -> None:
    source, variant, labels = noisy_values(40, 2.0)
    free = certify(
        get_metric("mae", has_labels=True),
        source_outputs=source,
        outputs=variant,
        labels=labels,
        max_drop=None,
        split="certification",
    )
    claim = certify(
        get_metric("mae", has_labels=True),
        source_outputs=source,
        outputs=variant,
        labels=labels,
        max_drop=free.drop + (free.drop_ci95[1] - free.drop) / 2,
        split="certification",
    )
    assert claim.verdict == "unproven"
    assert claim.samples_needed == pytest.approx(4 * 40, abs=1)  # half the width needs four times the samples


def test_without_labels_outputs_that_are_no_classes_are_certified_by_cosine_and_named_so() -> None:
    source = np.random.default_rng(2).normal(size=(50, 4, 4, 2))
    claim = certify(
        get_metric(None, has_labels=False),
        source_outputs={"map": source},
        outputs={"map": source + 0.01},
        labels=None,
        max_drop=0.01,
        split="certification",
    )
    assert claim.metric == "cosine"
    assert claim.verdict == "certified"


def test_identical_values_lose_nothing() -> None:
    source, _, labels = noisy_values(50, 0.0)
    claim = certify(
        get_metric("rmse", has_labels=True),
        source_outputs=source,
        outputs=source,
        labels=labels,
        max_drop=0.0,
        split="certification",
    )
    assert (claim.drop, claim.drop_ci95, claim.verdict) == (0.0, (0.0, 0.0), "certified")


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"other": np.zeros((20, 10))}, "other against out"),
        ({"out": np.zeros((19, 10))}, r"\[19, 10\] in the variant"),
        ({"out": np.full((20, 10), np.nan)}, "NaN or infinite values for 20 of 20"),
    ],
)
def test_outputs_that_can_not_be_compared_are_refused(variant: Outputs, words: str) -> None:
    source, _, labels = paired_outputs(20, lost=0, gained=0)
    with pytest.raises(ModelError, match=words):
        certify(
            get_metric("top1", has_labels=True),
            source_outputs=source,
            outputs=variant,
            labels=labels,
            max_drop=0.01,
            split="search",
        )


def test_labels_of_another_number_are_refused() -> None:
    source, variant, labels = paired_outputs(20, lost=0, gained=0)
    with pytest.raises(DataError, match="19 labels for 20 outputs"):
        certify(
            get_metric("top1", has_labels=True),
            source_outputs=source,
            outputs=variant,
            labels=labels[:19],
            max_drop=0.01,
            split="search",
        )


def test_a_wrong_certified_is_rare_when_the_drop_is_just_over_the_budget() -> None:
    """A variant whose true drop equals the budget is certified in at most about 2.5 % of draws (fixed seed)."""
    random = np.random.default_rng(4)
    wrong = 0
    for lost, gained, _ in random.multinomial(800, [0.02, 0.01, 0.97], size=2000):
        wrong += tango_interval(lost, gained, 800)[1] < 0.01
    assert wrong / 2000 <= 0.035
