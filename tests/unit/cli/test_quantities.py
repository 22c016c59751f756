"""Amounts as people write them."""

from __future__ import annotations

import pytest

from edgeai.cli import quantities
from edgeai_runtime.errors import UsageError


@pytest.mark.parametrize(
    ("text", "fraction"), [("1%", 0.01), ("0.01", 0.01), ("0", 0.0), ("0.5 %", 0.005), ("100%", 1.0), ("1e-3", 0.001)]
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, fraction: float) -> None:
    assert quantities.parse_fraction(text, option="--max-drop") == pytest.approx(fraction)


@pytest.mark.parametrize("text", ["", "one", "-1%", "5ms", "1%%", "nan", "inf", "1e999", "101%"])
def test_a_share_that_makes_no_sense_is_refused_with_the_option_and_the_text(text: str) -> None:
    with pytest.raises(UsageError, match="--max-drop") as caught:
        quantities.parse_fraction(text, option="--max-drop")
    assert repr(text) in str(caught.value) or "too large" in str(caught.value)


def test_a_bare_number_above_one_is_not_guessed_to_be_a_percentage() -> None:
    with pytest.raises(UsageError, match="For 2 percent write 2%"):
        quantities.parse_fraction("2", option="--max-drop")


@pytest.mark.parametrize(
    ("text", "size"),
    [("150000", 150_000), ("200KB", 200_000), ("200 kb", 200_000), ("2MiB", 2_097_152), ("1.5MB", 1_500_000), ("0", 0)],
)
def test_a_size_is_decimal_or_binary_by_its_unit(text: str, size: int) -> None:
    assert quantities.parse_size(text, option="--max-size") == size


@pytest.mark.parametrize("text", ["200 apples", "KB", "-5KB", "1%", "5ms"])
def test_a_size_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-size takes an amount"):
        quantities.parse_size(text, option="--max-size")


@pytest.mark.parametrize(("text", "mib"), [("64MiB", 64.0), ("64MB", 61.03515625), ("1GiB", 1024.0)])
def test_memory_is_given_in_mib(text: str, mib: float) -> None:
    assert quantities.parse_memory(text, option="--max-memory") == pytest.approx(mib)


def test_memory_without_a_unit_is_refused() -> None:
    with pytest.raises(UsageError, match="with its unit, such as 64MB"):
        quantities.parse_memory("64", option="--max-memory")


@pytest.mark.parametrize(("text", "milliseconds"), [("5ms", 5.0), ("800us", 0.8), ("800µs", 0.8), ("0.1s", 100.0)])
def test_a_latency_with_a_unit_of_time_is_absolute(text: str, milliseconds: float) -> None:
    limit = quantities.parse_latency(text, option="--max-latency")
    assert limit.milliseconds == pytest.approx(milliseconds)
    assert limit.ratio is None


def test_a_latency_in_percent_is_a_share_of_the_float_artifacts() -> None:
    limit = quantities.parse_latency("40%", option="--max-latency")
    assert limit.ratio == pytest.approx(0.4)
    assert limit.milliseconds is None


@pytest.mark.parametrize("text", ["5", "5KB", "fast"])
def test_a_latency_without_a_unit_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="5ms or 40%"):
        quantities.parse_latency(text, option="--max-latency")


@pytest.mark.parametrize(("text", "seconds"), [("2s", 2.0), ("2", 2.0), ("500ms", 0.5)])
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    assert quantities.parse_duration(text, option="--duration") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0", "0s", "2%"])
def test_a_duration_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--duration"):
        quantities.parse_duration(text, option="--duration")


@pytest.mark.parametrize("text", ["x=1x3x32x32", "x=1,3,32,32", " x = 1 x 3 x 32 x 32"])
def test_a_shape_has_a_name_and_sizes(text: str) -> None:
    assert quantities.parse_shape(text, option="--shape") == ("x", (1, 3, 32, 32))


@pytest.mark.parametrize("text", ["x=-1x3x?", "x=-1,3,-1"])
def test_a_size_of_a_shape_may_stay_free(text: str) -> None:
    assert quantities.parse_shape(text, option="--shape") == ("x", (-1, 3, -1))


def test_the_name_of_a_shape_may_hold_an_equals_sign_and_colons() -> None:
    assert quantities.parse_shape("a=b:0=1x2", option="--shape") == ("a=b:0", (1, 2))


@pytest.mark.parametrize("text", ["1x3", "x=", "x=1x-3", "x=-2x3", "=1x3", "x=1x0", "x=1x²"])
def test_a_shape_without_name_or_with_odd_sizes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"x=1x3x32x32|whole number"):
        quantities.parse_shape(text, option="--shape")
