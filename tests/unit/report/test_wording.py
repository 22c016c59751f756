"""Numbers in words: units, rounding, signs."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai.report import wording


@pytest.mark.parametrize(
    ("size", "words"), [(None, "–"), (812, "812 B"), (118_224, "118 kB"), (999_600, "1 MB"), (1_254_000, "1.25 MB")]
)
def test_size_is_told_in_decimal_units(size: int | None, words: str) -> None:
    assert wording.size_words(size) == words


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(None, "–"), (0.0273, "27.3 µs"), (3.254, "3.25 ms"), (12_100, "12.1 s"), (200_000, "3 min 20 s")],
)
def test_time_is_told_in_the_unit_that_fits(milliseconds: float | None, words: str) -> None:
    assert wording.time_words(milliseconds) == words


@pytest.mark.parametrize(
    ("drop", "metric", "words"),
    [
        (0.0014, "top1", "0.14 points"),
        (-0.0026, "top1", "−0.26 points"),
        (-0.00001, "top1", "0.00 points"),
        (0.02, "rmse", "2.00 % of the labels' spread"),
        (0.02, "cosine", "2.00 %"),
        (None, "top1", "–"),
    ],
)
def test_drop_is_told_in_points_for_shares_and_percent_otherwise(drop: float | None, metric: str, words: str) -> None:
    assert wording.drop_words(drop, metric) == words


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (None, "–"),
        ("int8, mse", "int8, mse"),
        (
            [{"op": "quantize", "params": {"ranges": "mse"}}, {"op": "emit", "params": {}}],
            "quantize(ranges=mse) → emit",
        ),
        (["simplify", "emit"], "simplify → emit"),
    ],
)
def test_recipe_is_told_as_its_steps(recipe: Any, words: str) -> None:
    assert wording.recipe_words(recipe) == words


def test_shrinking_is_told_against_float_of_the_same_format(document: dict[str, Any]) -> None:
    assert wording.float_size(document, document["best"]) == 413_992


def test_shrinking_falls_back_to_the_source(document: dict[str, Any]) -> None:
    assert wording.float_size(document, {"format": "openvino"}) == document["source"]["size_bytes"]


def test_drop_over_the_budget_is_bad_news(document: dict[str, Any]) -> None:
    document["best"]["drop"] = 0.02
    assert wording.headlines(document)[1].tone == "bad"


def test_unproven_says_how_many_samples_would_decide(document: dict[str, Any]) -> None:
    document["best"] = document["candidates"][1]
    sure = wording.headlines(document)[2]
    assert sure.tone == "neutral"
    assert "About 1,420 samples would decide" in sure.sentence


def test_speed_below_float_is_not_called_a_gain(document: dict[str, Any]) -> None:
    document["best"] |= {"speedup_vs_float": 0.9, "size_bytes": 500_000}
    assert wording.headlines(document)[0].figure == "nothing"
