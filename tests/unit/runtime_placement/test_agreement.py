"""What counts as the right numbers: on the recording delegate, and on another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeai_runtime.agreement import compare_output
from edgeai_runtime.manifest import Tolerance

WANT = np.array([[0.0, 10.0]], np.float32)
TOLERANCE = Tolerance(atol=0.01, rtol=0.0)


@pytest.mark.parametrize(
    ("error", "other", "ok"),
    [
        (0.009, False, True),
        (0.011, False, False),
        (0.019, True, True),  # 4 · 0.01 is more than 0.002 · 10
        (0.039, True, True),
        (0.041, True, False),
    ],
)
def test_another_delegate_may_differ_by_four_times_the_tolerance(error: float, other: bool, ok: bool) -> None:
    assert compare_output("y", WANT + np.float32(error), WANT, TOLERANCE, other=other)[0] is ok


def _network(mantissa_bits: int) -> Any:
    """Return three layers of 64 units computed with so many bits of mantissa."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 64))
    for _ in range(3):
        step = _rounded(x, mantissa_bits) @ _rounded(generator.normal(size=(64, 64)) / 8, mantissa_bits)
        x = np.maximum(_rounded(step, mantissa_bits), 0)
    return x.astype(np.float32)


def _rounded(values: Any, bits: int) -> Any:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2 ** (bits + 1)) / 2 ** (bits + 1), exponent)


@pytest.mark.parametrize(("mantissa_bits", "ok"), [(10, True), (7, False)])
def test_half_precision_passes_on_another_delegate_and_bfloat16_does_not(mantissa_bits: int, ok: bool) -> None:
    want, got = _network(40), _network(mantissa_bits)
    exact = Tolerance(atol=1e-4 * float(want.max()), rtol=0.0)

    assert compare_output("y", got, want, exact, other=True)[0] is ok
    assert not compare_output("y", got, want, exact)[0]


def test_nearer_to_the_source_than_the_tolerance_is_right_on_another_delegate_only() -> None:
    source = WANT + np.float32(0.5)

    assert compare_output("y", source, WANT, TOLERANCE, source=source, other=True)[0]
    assert not compare_output("y", source, WANT, TOLERANCE, source=source)[0]


@pytest.mark.parametrize(("flips", "ok"), [(0, True), (1, True), (2, False)])
def test_whole_numbers_may_flip_in_a_tenth_of_places_on_another_delegate(flips: int, ok: bool) -> None:
    want = np.arange(10, dtype=np.int64)
    got = want.copy()
    got[:flips] += 500

    assert compare_output("y", got, want, None, other=True)[0] is ok


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_is_wrong_unless_recorded(value: float, other: bool) -> None:
    got = WANT.copy()
    got[0, 0] = value

    assert not compare_output("y", got, WANT, Tolerance(atol=1e9, rtol=0.0), source=WANT, other=other)[0]
    assert compare_output("y", got, got, TOLERANCE, source=got, other=other)[0]


def test_another_shape_is_wrong() -> None:
    ok, text = compare_output("y", WANT[0], WANT, TOLERANCE)

    assert not ok
    assert "has shape (2,), recorded is (1, 2)" in text


def test_the_text_says_how_many_places_are_wrong_and_that_the_limit_is_widened() -> None:
    _, text = compare_output("y", WANT + np.float32([[0.0, 1.0]]), WANT, TOLERANCE, other=True)

    assert "at most 1 in 50% of places" in text
    assert "widened for another delegate" in text
