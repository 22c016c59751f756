"""How far two sets of outputs are apart, and the gate that every conversion passes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Difference of a conversion to its source over all outputs of `n` samples.

    Attributes:
        max_abs: largest absolute difference.
        max_rel: `max_abs` divided by the largest absolute value of the same output (worst output).
        cosine: smallest cosine similarity of any output, flattened over the samples.
        n: number of samples compared.
    """

    max_abs: float
    max_rel: float
    cosine: float
    n: int
