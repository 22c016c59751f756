"""What each case found, as rows, and what they say about what was expected. Data alone; nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy.special import stdtrit

Goal = Literal["latency", "size"]
Verdict = Literal["reached", "not proven", "missed", "open"]

WANTED = 2.0
"""Times smaller or faster, on top of plain int8."""

MAX_DROP = 0.01
"""What may be lost against the float model, a fraction."""

MAX_SECONDS = 1200.0
"""How long a case may take on two quiet cores."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One artifact of a compression.

    Attributes:
        id: of its recipe.
        format, precision: what was written.
        size_bytes: all files together.
        median_ms: latency in the common run of all artifacts of the case.
        score, drop, drop_ci95, n, verdict: the certificate against the float model, on the certification split.
        accepted: whether it was within the budget it was asked for with.
        reason: why not.
    """

    id: str
    format: str
    precision: str
    size_bytes: int
    median_ms: float
    score: float
    drop: float
    drop_ci95: tuple[float, float]
    n: int
    verdict: str
    accepted: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Slimmed:
    """A float model, plain int8 and the pruned one made by one command.

    Attributes:
        case, title: which model.
        goal: what had to be halved.
        trained_on: samples that it was trained on.
        published_score: of the model as it came, on the evaluation samples; `None` where it was trained here.
        float_score: of the float model that both were made from, on the same samples.
        evaluated: how many those are.
        plain, slim: the artifacts; `slim` is `None` when none could be made.
        latency_ratio, latency_ci95: latency of slim as a share of plain's, interleaved.
        why_not: what stood in the way of `slim`.
        seconds: what each step took.
        code: key of the code that it was measured with.
    """

    case: str
    title: str
    goal: Goal
    trained_on: int
    published_score: float | None
    float_score: float
    float_size_bytes: int
    float_ms: float
    evaluated: int
    plain: Variant
    slim: Variant | None
    latency_ratio: float | None
    latency_ci95: tuple[float, float] | None
    why_not: str = ""
    seconds: Mapping[str, float]
    code: str

    @property
    def gain(self) -> float | None:
        """Times faster or smaller than plain int8."""
        if self.slim is None or self.latency_ratio is None:
            return None
        return 1 / self.latency_ratio if self.goal == "latency" else self.plain.size_bytes / self.slim.size_bytes

    @property
    def gain_bounds(self) -> tuple[float, float] | None:
        """The 95 % interval of the gain; a size has none."""
        if self.gain is None or self.latency_ci95 is None:
            return None
        low, high = self.latency_ci95
        return (1 / high, 1 / low) if self.goal == "latency" else (self.gain, self.gain)

    @property
    def verdict(self) -> Verdict:
        """`reached` when gain and drop are as expected with their bounds, `not proven` when only as points."""
        if self.slim is None or self.gain is None or self.gain_bounds is None:
            return "open"
        if self.gain < WANTED or self.slim.drop > MAX_DROP:
            return "missed"
        return "reached" if self.gain_bounds[0] >= WANTED and self.slim.drop_ci95[1] <= MAX_DROP else "not proven"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One seed: the same student with and without a teacher, scored on the same samples."""

    seed: int
    alone: float
    taught: float
    gain: float
    gain_ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A narrower copy distilled from its source, against the same copy trained on labels alone.

    Attributes:
        case, title: which model.
        parameters, source_parameters: numbers of weights.
        trained_on, epochs: the training of the student without a teacher, on labels.
        unlabelled: samples that the teacher answered for the other one, in as many steps.
        teacher_score: of the teacher.
        n: evaluation samples.
        pairs: one per seed.
        gain_ci95: 95 % interval of the mean gain over the samples, for these seeds.
        seconds: what each step took.
        code: key of the code that it was measured with.
    """

    case: str
    title: str
    parameters: int
    source_parameters: int
    trained_on: int
    epochs: int
    unlabelled: int
    teacher_score: float
    n: int
    pairs: tuple[Pair, ...]
    gain_ci95: tuple[float, float]
    seconds: Mapping[str, float]
    code: str

    @property
    def gain(self) -> float:
        """The mean gain over the seeds."""
        return sum(pair.gain for pair in self.pairs) / len(self.pairs)

    @property
    def gain_over_seeds(self) -> tuple[float, float]:
        """The 95 % interval of the mean gain over seeds: what another draw of the weights might give."""
        return mean_interval([pair.gain for pair in self.pairs])

    @property
    def verdict(self) -> Verdict:
        """`reached` when both intervals lie above 0, `not proven` when only the mean does."""
        if self.gain <= 0:
            return "missed"
        return "reached" if min(self.gain_ci95[0], self.gain_over_seeds[0]) > 0 else "not proven"


Row = Slimmed | Taught


def row_from_json(document: Mapping[str, Any]) -> Row:
    """Return the row that `dataclasses.asdict` wrote, after a way through JSON."""
    given = dict(document)
    if "pairs" in given:
        pairs = tuple(Pair(**{**one, "gain_ci95": tuple(one["gain_ci95"])}) for one in given["pairs"])
        return Taught(**{**given, "pairs": pairs, "gain_ci95": tuple(given["gain_ci95"])})
    for name in ("plain", "slim"):
        if given[name] is not None:
            given[name] = Variant(**{**given[name], "drop_ci95": tuple(given[name]["drop_ci95"])})
    interval = given["latency_ci95"]
    return Slimmed(**{**given, "latency_ci95": None if interval is None else tuple(interval)})


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean; with one value everything is possible.

    >>> low, high = mean_interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return -math.inf, math.inf
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    reach = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
    return mean - reach, mean + reach
