"""Weights prepared for a device: what is worth trying for which, and where the steps belong in a recipe."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_converters.recipe import Recipe
from edgeai_converters.search.device_gains import CLUSTERS, packings_for, with_step
from edgeai_devices.catalog import find_profile
from edgeai_runtime.manifest import Format, Step

RECIPE = Recipe(
    format="tflite",
    precision="int8",
    steps=(
        Step(op="equalize"),
        Step(op="quantize", params={"scheme": "tflite-int8", "method": "mse"}),
        Step(op="integer_boundary"),
        Step(op="emit", params={"format": "tflite"}),
    ),
)


@pytest.mark.parametrize(
    ("device", "format", "found"),
    [
        ("ethos-u55-128", "tflite", [("clusters", ""), ("sparse", "")]),
        ("ethos-u55-128", "onnx", []),
        ("jetson-orin-nano", "onnx", [("sparse", "2:4")]),
        ("rpi5", "tflite", []),
        (None, "tflite", []),
    ],
)
def test_only_what_the_device_gains_by_in_its_format_is_tried(device: str | None, format: Format, found: Any) -> None:
    packings = packings_for(find_profile(device) if device else None, format)
    assert [(one.gain.method, one.gain.pattern) for one in packings] == found


def test_what_packs_best_is_tried_first() -> None:
    clusters, zeros = packings_for(find_profile("ethos-u55-128"), "tflite")
    assert [step.params["clusters"] for step in clusters.steps] == sorted(CLUSTERS)
    shares = [step.params["share"] for step in zeros.steps]
    assert shares == sorted(shares, reverse=True)
    assert clusters.compilers == zeros.compilers == ("vela",)


@pytest.mark.parametrize(
    ("step", "place", "named"),
    [
        (Step(op="cluster_weights", params={"clusters": 16}), 2, "tflite-int8-mse-equalize-clusters16"),
        (Step(op="sparsify", params={"pattern": [2, 4]}), 1, "tflite-int8-mse-equalize-zeros2of4"),
        (Step(op="sparsify", params={"share": 0.5}), 1, "tflite-int8-mse-equalize-zeros0.5"),
    ],
)
def test_zeros_come_before_weights_are_quantized_and_clusters_after(step: Step, place: int, named: str) -> None:
    recipe = with_step(RECIPE, step)
    assert recipe.steps[place] == step
    assert [one for one in recipe.steps if one != step] == list(RECIPE.steps)
    assert recipe.id == named
