"""How far two sets of outputs are apart, and the gate that every conversion passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.errors import ParityError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def measure_parity(reference: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> Parity:
    """Compare two sets of outputs of the same inputs, by output name; each array is `[n, …]`.

    Infinities and NaNs that stand at the same places in both are equal; at one side only they make the difference
    infinite. An output that is zero everywhere in the reference has `max_rel = max_abs`.

    Raises:
        ParityError: an output is missing, or has another shape.
    """
    max_abs = max_rel = 0.0
    cosine, n = 1.0, 0
    for name, expected in reference.items():
        if name not in other:
            raise ParityError(f"Output {name!r} is missing. Received outputs: {', '.join(other) or 'none'}.")
        a = np.asarray(expected).astype(np.float64)
        b = np.asarray(other[name]).astype(np.float64)
        if a.shape != b.shape:
            raise ParityError(f"Output {name!r} has shape {list(b.shape)} where the reference has {list(a.shape)}.")
        n = max(n, a.shape[0] if a.ndim else 1)
        absolute, relative, similarity = _compare(a, b)
        max_abs, max_rel, cosine = max(max_abs, absolute), max(max_rel, relative), min(cosine, similarity)
    return Parity(max_abs=max_abs, max_rel=max_rel, cosine=cosine, n=n)


def require_parity(
    reference: Mapping[str, NDArray[Any]],
    other: Mapping[str, NDArray[Any]],
    *,
    what: str,
    max_rel: float,
    min_cosine: float,
) -> Parity:
    """Compare like `measure_parity` and raise when the two are further apart than allowed.

    Args:
        reference: outputs of the source, by name.
        other: outputs of the conversion, by name.
        what: the conversion, for the message (`"tf2onnx → graph"`).
        max_rel: largest allowed `Parity.max_rel`.
        min_cosine: smallest allowed `Parity.cosine`.

    Raises:
        ParityError: with the figures, or naming the output that is missing or misshapen.
    """
    try:
        parity = measure_parity(reference, other)
    except ParityError as error:
        raise ParityError(f"{what}: {error.message}", hint=error.hint) from error
    if not (parity.max_rel <= max_rel and parity.cosine >= min_cosine):
        raise ParityError(
            f"{what}: the outputs differ from the source. Relative difference {parity.max_rel:.3g} "
            f"(allowed {max_rel:.3g}), cosine {parity.cosine:.6f} (at least {min_cosine}), {parity.n} samples.",
            hint="Nothing was written. Please report the model's operators; another format may work today.",
        )
    return parity


def _compare(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the largest absolute and relative difference, and the cosine, of two arrays of one shape."""
    if a.size == 0:
        return 0.0, 0.0, 1.0
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf"), float("inf"), 0.0
    a, b = a[finite], b[finite]
    if a.size == 0:
        return 0.0, 0.0, 1.0
    absolute = float(np.abs(a - b).max())
    peak = float(np.abs(a).max())
    norm_a, norm_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if norm_a == 0 or norm_b == 0:
        return absolute, absolute / (peak or 1.0), 1.0 if absolute == 0 else 0.0
    return absolute, absolute / peak if peak else absolute, float(np.dot(a / norm_a, b / norm_b))
