"""The search for static int8: which recipe comes next, seeing what became of those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgeai_converters.recipe import Recipe
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.int8 import Int8Search
from edgeai_converters.search.variant import Variant
from edgeai_runtime.manifest import Certificate

_MINMAX, _MSE = Variant(method="minmax", error=0.1), Variant(method="mse", error=0.2)
_SEARCH = Int8Search(
    format="tflite",
    scheme="tflite-int8",
    variants=(_MINMAX, _MSE),
    max_drop=0.01,
    refined=lambda variant: variant,
    by_sensitivity=lambda _: ({"a": "loses"}, {"a": "loses", "b": "loses"}),
    by_islands=lambda _: ({"c": "an island"},),
    costly_repairs=("adaround",),
)


def _outcomes(search: Int8Search, outcomes: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the ids of the recipes asked for when they come out as told; those not told lose 5 points."""
    asked: list[str] = []
    steps = search.run()
    recipe = next(steps, None)
    while recipe is not None:
        asked.append(recipe.id)
        try:
            recipe = steps.send(_candidate(recipe, **outcomes.get(recipe.id, {"drop": 0.05, "limit": "max_drop"})))
        except StopIteration:
            recipe = None
    return asked


def _candidate(recipe: Recipe, *, drop: float | None = None, limit: Any = None) -> Candidate:
    claim = Certificate(
        metric="top1",
        source_score=0.9,
        score=0.9 - (drop or 0.0),
        drop=drop or 0.0,
        drop_ci95=(0.0, 0.1),
        flip_rate=0.0,
        n=1000,
        max_drop=0.01,
        verdict="unproven",
        samples_needed=None,
        method="score",
        split="search",
    )
    status: Any = "rejected" if limit else "accepted"
    return Candidate(recipe=recipe, status=status, reason="", limit=limit, search_drop=drop, certificate=claim)


def test_a_good_first_way_ends_the_search() -> None:
    assert _outcomes(_SEARCH, {"tflite-int8-minmax": {"drop": 0.001}}) == ["tflite-int8-minmax"]


def test_a_way_that_loses_some_leads_to_the_next_and_then_to_nodes_in_float() -> None:
    asked = _outcomes(_SEARCH, {"tflite-int8-mse": {"drop": 0.008}, "tflite-int8-mse-float2": {"drop": 0.002}})
    assert asked == ["tflite-int8-minmax", "tflite-int8-mse", "tflite-int8-mse-float1", "tflite-int8-mse-float2"]


def test_int8_slower_than_float_loses_its_islands_and_no_other_range_method_is_tried() -> None:
    asked = _outcomes(_SEARCH, {"tflite-int8-minmax": {"drop": 0.0, "limit": "slower_than_float"}})
    assert asked[:2] == ["tflite-int8-minmax", "tflite-int8-minmax-float1"]
    assert "tflite-int8-mse" not in asked


def test_more_nodes_in_float_are_not_tried_once_that_is_too_slow() -> None:
    asked = _outcomes(_SEARCH, {"tflite-int8-minmax-float1": {"drop": 0.0, "limit": "slower_than_float"}})
    assert "tflite-int8-minmax-float2" not in asked


def test_costly_repairs_come_last_and_only_when_nothing_was_accepted() -> None:
    assert _outcomes(_SEARCH, {})[-1] == "tflite-int8-minmax-adaround"
    assert "adaround" not in "".join(_outcomes(_SEARCH, {"tflite-int8-mse": {"drop": 0.009}}))


def test_a_graph_without_integer_operations_is_tried_once() -> None:
    assert _outcomes(_SEARCH, {"tflite-int8-minmax": {"limit": "no_effect"}}) == ["tflite-int8-minmax"]


def test_a_size_that_is_too_large_is_not_mended_by_more_float() -> None:
    asked = _outcomes(_SEARCH, {"tflite-int8-minmax": {"drop": 0.0, "limit": "max_size"}})
    assert asked == ["tflite-int8-minmax"]


def test_without_a_budget_for_accuracy_the_first_accepted_way_is_good() -> None:
    search = replace(_SEARCH, max_drop=None)
    assert _outcomes(search, {"tflite-int8-minmax": {"drop": 0.2}}) == ["tflite-int8-minmax"]


def test_a_ladder_without_rungs_is_no_error() -> None:
    def none(_: Variant) -> Sequence[Mapping[str, str]]:
        return ()

    search = replace(_SEARCH, by_sensitivity=none, costly_repairs=())
    assert _outcomes(search, {}) == ["tflite-int8-minmax", "tflite-int8-mse"]
