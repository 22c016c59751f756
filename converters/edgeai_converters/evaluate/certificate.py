"""The certificate: what a variant loses against its float source, how sure that is, and the verdict.

Both run on the same samples, so the comparison is paired. `docs/evidence.md` explains the method in plain words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.intervals import (
    RESAMPLES,
    bootstrap_interval,
    tango_interval,
    wilson_interval,
)
from edgeai_converters.evaluate.metrics import Metric, drop_between, metric_for_outputs
from edgeai_converters.evaluate.metrics_classes import Agreement
from edgeai_converters.evaluate.metrics_outputs import Outputs, first_output
from edgeai_runtime.errors import DataError, ModelError
from edgeai_runtime.manifest import Certificate, Verdict

MIN_SAMPLES = 2
_SEED = 0  # fixed, so that the same outputs always give the same certificate
_MOST_SAMPLES = 10**9

TANGO = "score interval of paired proportions (Tango 1998, Statistics in Medicine 17:891)"
WILSON = "score interval of a proportion (Wilson 1927, JASA 22:209)"
BOOTSTRAP = f"paired bootstrap, BCa, {RESAMPLES} resamples (Efron 1987, JASA 82:171)"


def certify(
    metric: Metric,
    *,
    source_outputs: Outputs,
    outputs: Outputs,
    labels: NDArray[Any] | None,
    max_drop: float | None,
    split: Literal["certification", "search"],
) -> Certificate:
    """Compare a variant with its float source on the same samples.

    Args:
        metric: from `get_metric`; `agreement` becomes `cosine` where the first output is not one row of class scores.
        source_outputs: the float source's outputs, `{output: [n, …]}`, samples in the same order as below.
        outputs: the variant's outputs from its own engine.
        labels: labels of these samples, or `None`.
        max_drop: the budget, a fraction; without one the verdict is `certified`, for there is nothing to break.
        split: the split that the samples are from.

    Raises:
        ModelError: the variant's outputs have other names or shapes than the source's, or hold NaN.
        DataError: labels that do not fit the metric, or fewer than two samples.

    Example:
        >>> from edgeai_converters.evaluate.metrics import get_metric
        >>> scores = {"out": np.eye(10)[np.arange(500) % 10]}
        >>> claim = certify(get_metric("top1", has_labels=True), source_outputs=scores, outputs=scores,
        ...                 labels=np.arange(500) % 10, max_drop=0.01, split="certification")
        >>> claim.drop, round(claim.drop_ci95[1], 4), claim.verdict
        (0.0, 0.0076, 'certified')
    """
    _check_outputs(source_outputs, outputs)
    metric = metric_for_outputs(metric, source_outputs)
    n = len(first_output(outputs))
    if n < MIN_SAMPLES:
        raise DataError(f"A certificate needs at least {MIN_SAMPLES} samples. Received: {n}")
    source_score = metric.score(source_outputs, labels, source_outputs)
    score = metric.score(outputs, labels, source_outputs)
    unit = metric.drop_unit(labels)
    drop = float(drop_between(metric, source_score, score, unit))
    pairs = _pairs(metric, source_outputs, outputs, labels)
    if isinstance(metric, Agreement):
        changed = n - float(pairs[1].sum()) if pairs else 0.0
        interval, method = wilson_interval(changed, n), WILSON
        needed = _needed_by(lambda size: wilson_interval(drop * size, size)[1], n, drop, max_drop)
    elif pairs is not None:
        lost = int(((pairs[0] == 1) & (pairs[1] == 0)).sum())
        gained = int(((pairs[0] == 0) & (pairs[1] == 1)).sum())
        if not metric.higher_is_better:
            lost, gained = gained, lost
        interval, method = tango_interval(lost, gained, n), TANGO
        needed = _needed_by(lambda size: tango_interval(lost / n * size, gained / n * size, size)[1], n, drop, max_drop)
    else:
        of_source = metric.weighted(source_outputs, labels, source_outputs)
        of_variant = metric.weighted(outputs, labels, source_outputs)
        interval = bootstrap_interval(
            lambda weights: np.asarray(drop_between(metric, of_source(weights), of_variant(weights), unit)),
            n,
            seed=_SEED,
        )
        method = BOOTSTRAP
        excess = interval[1] - drop
        needed = _needed_by(lambda size: drop + excess * math.sqrt(n / size), n, drop, max_drop)
    verdict = judge_drop(drop, interval[1], max_drop)
    return Certificate(
        metric=metric.name,
        source_score=source_score,
        score=score,
        drop=drop,
        drop_ci95=interval,
        flip_rate=_flip_rate(metric, source_outputs, outputs),
        n=n,
        max_drop=max_drop,
        verdict=verdict,
        samples_needed=needed if verdict == "unproven" else None,
        method=method,
        split=split,
    )


def screen_drop(metric: Metric, source_outputs: Outputs, outputs: Outputs, labels: NDArray[Any] | None) -> float:
    """Return the point drop alone, a fraction, positive when the variant is worse; for screening on the search split.

    Raises:
        ModelError: outputs that do not match the source's, or hold NaN.
        DataError: labels that do not fit the metric.
    """
    _check_outputs(source_outputs, outputs)
    metric = metric_for_outputs(metric, source_outputs)
    source_score = metric.score(source_outputs, labels, source_outputs)
    score = metric.score(outputs, labels, source_outputs)
    return float(drop_between(metric, source_score, score, metric.drop_unit(labels)))


def judge_drop(drop: float, upper: float, max_drop: float | None) -> Verdict:
    """Return `certified` (upper bound within the budget), `unproven` (point within, bound not) or `violated`."""
    if max_drop is None or upper <= max_drop:
        return "certified"
    return "unproven" if drop <= max_drop else "violated"


def smallest_certifiable_drop(n: int) -> float:
    """Return the least budget that n samples can certify for a 0/1 metric: the bound without a single changed sample.

    Example:
        >>> smallest_certifiable_drop(381) < 0.01 < smallest_certifiable_drop(380)
        True
    """
    return tango_interval(0, 0, n)[1]


def _pairs(
    metric: Metric, source_outputs: Outputs, outputs: Outputs, labels: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the 0/1 scores of source and variant, or `None` when the metric does not score 0 or 1 per sample."""
    if metric.binary is False:
        return None
    ours = metric.per_sample(source_outputs, labels, source_outputs)
    theirs = metric.per_sample(outputs, labels, source_outputs)
    if ours is None or theirs is None:
        return None
    if not all(bool(np.isin(scores, (0.0, 1.0)).all()) for scores in (ours, theirs)):
        return None
    return ours, theirs


def _needed_by(upper: Callable[[float], float], n: int, drop: float, max_drop: float | None) -> int | None:
    """Return the least number of samples whose upper bound, at the observed rates, is within the budget.

    `None` when no number would do: the point is not below the budget, or so close that over 10⁹ samples were needed.
    """
    if max_drop is None or drop >= max_drop:
        return None
    low, high = n, n
    while upper(high) > max_drop:
        low, high = high, high * 2
        if high > _MOST_SAMPLES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if upper(middle) > max_drop else (low, middle)
    return high


def _flip_rate(metric: Metric, source_outputs: Outputs, outputs: Outputs) -> float | None:
    ours, theirs = metric.predictions(source_outputs), metric.predictions(outputs)
    return None if ours is None or theirs is None else float((ours != theirs).mean())


def _check_outputs(source_outputs: Outputs, outputs: Outputs) -> None:
    if not source_outputs or list(source_outputs) != list(outputs):
        raise ModelError(
            f"The variant's outputs are not the source's: {', '.join(outputs) or 'none'} against "
            f"{', '.join(source_outputs) or 'none'}."
        )
    for name, source in source_outputs.items():
        if source.shape != outputs[name].shape:
            raise ModelError(
                f"The output {name} has shape {list(outputs[name].shape)} in the variant and {list(source.shape)} in "
                "the source."
            )
        for what, array in (("variant", outputs[name]), ("float source", source)):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                bad = int((~np.isfinite(array)).reshape(len(array), -1).any(axis=1).sum())
                raise ModelError(
                    f"The output {name} of the {what} has NaN or infinite values for {bad} of {len(array)} samples.",
                    hint="An overflow in float16 or a range of zero width is the usual cause.",
                )
