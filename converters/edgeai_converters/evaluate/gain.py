"""What a training gave: the score of the same model before and after, paired on the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.certificate import BOOTSTRAP, TANGO
from edgeai_converters.evaluate.intervals import bootstrap_interval, tango_interval
from edgeai_converters.evaluate.metrics import Metric, drop_between, metric_for_outputs
from edgeai_converters.evaluate.metrics_outputs import Outputs, first_output

_SEED = 0  # fixed, so that the same outputs always give the same interval


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A gain of quality: positive when better, a fraction of the same unit as a certificate's drop.

    Attributes:
        gain: the point.
        gain_ci95: two-sided 95 % interval.
        n: number of paired samples.
        method: the statistical method, with its source.
    """

    gain: float
    gain_ci95: tuple[float, float]
    n: int
    method: str


def measure_gain(
    metric: Metric, before: Outputs, after: Outputs, *, labels: NDArray[Any] | None, reference: Outputs
) -> Gain:
    """Compare outputs `{output: [n, …]}` after a training with those before, both scored against `reference`.

    Example:
        >>> from edgeai_converters.evaluate.metrics import get_metric
        >>> right = {"y": np.eye(4)[np.arange(100) % 4]}
        >>> wrong = {"y": np.roll(right["y"], 1, axis=1)}
        >>> measure_gain(get_metric("agreement", has_labels=False), wrong, right, labels=None, reference=right).gain
        1.0
    """
    metric = metric_for_outputs(metric, reference)
    n = len(first_output(after))
    ours, theirs = (metric.per_sample(outputs, labels, reference) for outputs in (before, after))
    if ours is not None and theirs is not None and metric.binary is not False and _is_binary(ours, theirs):
        if not metric.higher_is_better:
            ours, theirs = theirs, ours
        gained, lost = int((theirs > ours).sum()), int((theirs < ours).sum())
        low, high = tango_interval(gained, lost, n)
        return Gain(gain=(gained - lost) / n, gain_ci95=(low, high), n=n, method=TANGO)
    of_before, of_after = (metric.weighted(outputs, labels, reference) for outputs in (before, after))
    unit = metric.drop_unit(labels)

    def gains(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return -np.asarray(drop_between(metric, of_before(weights), of_after(weights), unit))

    point = float(gains(np.ones((1, n)))[0])
    return Gain(gain=point, gain_ci95=bootstrap_interval(gains, n, seed=_SEED), n=n, method=BOOTSTRAP)


def _is_binary(*scores: NDArray[Any]) -> bool:
    return all(bool(((one == 0) | (one == 1)).all()) for one in scores)
