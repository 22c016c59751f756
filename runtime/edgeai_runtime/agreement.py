"""Whether a delegate's outputs for the golden inputs are right: the policy of the self-check.

A bundle records, per variant, what its own engine answered (on the *recording* delegate), and what the float source
answered. Other correct kernels round differently, so nothing is compared bit by bit:

- On the recording delegate, every value must lie within the variant's tolerance of the recorded one.
- Another delegate has other kernels and maybe another arithmetic, so every value must lie within `WIDER` times that
  tolerance of the recorded one (at least `HALF_PRECISION` of the output's greatest value, which float16 kernels keep
  and bfloat16 ones do not), *or* within the plain tolerance of the float source: a delegate that computes an int8 model
  more exactly than the recording one is not wrong.
- Whole numbers that are results (classes, indices) have no distance: on another delegate `SAME_SHARE` of them must be
  equal to the recorded or to the source's; the rest are ties that rounding decides.

Not a number where a number was recorded, or another shape, is wrong everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_runtime.manifest import Tolerance

#: For an output without a tolerance of its own: a thousandth of its greatest value.
DEFAULT_SHARE = 1e-3
WIDER = 4.0
HALF_PRECISION = 2e-3
SAME_SHARE = 0.9


def compare_output(
    name: str, result: Any, recorded: Any, tolerance: Tolerance | None, *, source: Any = None, other: bool = False
) -> tuple[bool, str]:
    """Compare one output with what was recorded; say whether it is right, and by how much it differs.

    Args:
        name: of the output, for the text.
        result: what the delegate gave, `[n, …]`.
        recorded: what the recording delegate gave.
        tolerance: the variant's; `None` for `DEFAULT_SHARE` of the greatest recorded value.
        source: what the float source gave; `None` when it is not known.
        other: the delegate is not the recording one, or runs with other options.
    """
    if result.shape != recorded.shape:
        return False, f"{name} has shape {result.shape}, recorded is {recorded.shape}"
    if not result.size:
        return True, f"{name} is empty, as recorded"
    got, want = result.astype(np.float64), recorded.astype(np.float64)
    greatest = float(np.abs(want[np.isfinite(want)]).max(initial=1e-12))
    if tolerance is None:
        tolerance = Tolerance(atol=DEFAULT_SHARE * greatest, rtol=0.0)
    if other and np.dtype(recorded.dtype).kind in "iub" and np.dtype(recorded.dtype).itemsize != 1:
        same = result == recorded
        if source is not None and source.shape == result.shape:
            same = same | (result == source)
        share = float(same.mean())
        return share >= SAME_SHARE, f"{name} is the same in {share:.0%} of places (at least {SAME_SHARE:.0%})"
    limit, text = tolerance, ""
    if other:
        limit = Tolerance(atol=max(WIDER * tolerance.atol, HALF_PRECISION * greatest), rtol=WIDER * tolerance.rtol)
        text = ", widened for another delegate"
    good, difference = _within(got, want, limit)
    if other and source is not None and source.shape == result.shape:
        good = good | _within(got, source.astype(np.float64), tolerance)[0]
    allowed = f"allowed {limit.atol:.3g} + {limit.rtol:.3g} · |recorded|{text}"
    wrong = "" if good.all() else f" in {1 - float(good.mean()):.0%} of places"
    return bool(good.all()), f"{name} differs by at most {difference:.3g}{wrong} ({allowed})"


def _within(got: Any, want: Any, limit: Tolerance) -> tuple[Any, float]:
    """Return where `got` lies within `limit` of `want`, and the greatest difference."""
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore"):  # infinity less infinity, or times nothing
        difference = np.where(same, 0.0, np.abs(got - want))
        return same | (difference <= limit.atol + limit.rtol * np.abs(want)), float(difference.max())
