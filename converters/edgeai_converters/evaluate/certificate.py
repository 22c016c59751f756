"""The certificate: what a variant loses against its float source, how sure that is, and the verdict.

Both run on the same samples, so the comparison is paired. `docs/evidence.md` explains the method in plain words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
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
    loss = _measure_loss(metric, source_outputs, outputs, labels)
    verdict = judge_drop(loss.drop, loss.interval[1], max_drop)
    needed = _samples_needed(loss, n, max_drop) if verdict == "unproven" else None
    return Certificate(
        metric=metric.name,
        source_score=metric.score(source_outputs, labels, source_outputs),
        score=metric.score(outputs, labels, source_outputs),
        drop=loss.drop,
        drop_ci95=loss.interval,
        flip_rate=_flip_rate(metric, source_outputs, outputs),
        n=n,
        max_drop=max_drop,
        verdict=verdict,
        samples_needed=needed,
        method=loss.method,
        split=split,
    )


def judge_drop(drop: float, upper: float, max_drop: float | None) -> Verdict:
    """Return `certified` (upper bound within the budget), `unproven` (point within, bound not) or `violated`."""
    if max_drop is None or upper <= max_drop:
        return "certified"
    return "unproven" if drop <= max_drop else "violated"


@dataclass(frozen=True, kw_only=True)
class _Loss:
    """The drop, its interval, and the upper bound that another number of samples would give at the same rates."""

    drop: float
    interval: tuple[float, float]
    method: str
    upper: Callable[[float], float]


def _measure_loss(metric: Metric, source_outputs: Outputs, outputs: Outputs, labels: NDArray[Any] | None) -> _Loss:
    ours = metric.per_sample(source_outputs, labels, source_outputs)
    theirs = metric.per_sample(outputs, labels, source_outputs)
    if ours is not None and theirs is not None:
        if isinstance(metric, Agreement):
            return _loss_of_agreement(theirs)
        if metric.binary is not False and _is_binary(ours) and _is_binary(theirs):
            return _loss_of_pairs(ours, theirs) if metric.higher_is_better else _loss_of_pairs(theirs, ours)
    return _loss_by_bootstrap(metric, source_outputs, outputs, labels)


def _loss_of_agreement(agrees: NDArray[Any]) -> _Loss:
    """A change can only be a loss, so the drop is one proportion. Counts keep it exact: 1 - 0.99 is not 0.01."""
    n = len(agrees)
    changed = n - int(agrees.sum())
    return _Loss(
        drop=changed / n,
        interval=wilson_interval(changed, n),
        method=WILSON,
        upper=lambda size: wilson_interval(changed / n * size, size)[1],
    )


def _loss_of_pairs(ours: NDArray[Any], theirs: NDArray[Any]) -> _Loss:
    n = len(ours)
    lost, gained = int((ours > theirs).sum()), int((ours < theirs).sum())
    return _Loss(
        drop=(lost - gained) / n,
        interval=tango_interval(lost, gained, n),
        method=TANGO,
        upper=lambda size: tango_interval(lost / n * size, gained / n * size, size)[1],
    )


def _loss_by_bootstrap(metric: Metric, source_outputs: Outputs, outputs: Outputs, labels: NDArray[Any] | None) -> _Loss:
    n = len(first_output(outputs))
    of_source = metric.weighted(source_outputs, labels, source_outputs)
    of_variant = metric.weighted(outputs, labels, source_outputs)
    unit = metric.drop_unit(labels)

    def drops(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(drop_between(metric, of_source(weights), of_variant(weights), unit))

    drop = float(drops(np.ones((1, n)))[0])
    interval = bootstrap_interval(drops, n, seed=_SEED)
    return _Loss(
        drop=drop,
        interval=interval,
        method=BOOTSTRAP,
        upper=lambda size: drop + (interval[1] - drop) * math.sqrt(n / size),
    )


def _is_binary(scores: NDArray[Any]) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())


def _samples_needed(loss: _Loss, n: int, max_drop: float | None) -> int | None:
    """Return the least number of samples whose upper bound, at the observed rates, is within the budget.

    `None` when no number would do: the point is not below the budget, or so close that over 10⁹ samples were needed.
    """
    if max_drop is None or loss.drop >= max_drop:
        return None
    low, high = n, n
    while loss.upper(high) > max_drop:
        low, high = high, high * 2
        if high > _MOST_SAMPLES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if loss.upper(middle) > max_drop else (low, middle)
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
