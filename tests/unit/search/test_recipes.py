"""Recipes are data: which are tried follows from the spec alone, and one that was found can be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai_converters.recipe import Recipe, read_recipes
from edgeai_converters.search.recipes import float_recipe, stored_recipes
from edgeai_converters.search.variant import Variant
from edgeai_converters.spec import CompressSpec
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step


def test_only_the_precisions_asked_for_are_tried() -> None:
    spec = CompressSpec(source=Path("m.onnx"), precisions=("float16",))
    assert [recipe.id for recipe in stored_recipes(spec, "onnx")] == ["onnx-float16"]


def test_the_reference_is_plain_float() -> None:
    recipe = float_recipe("openvino")
    assert recipe.id == "openvino-float32"
    assert [step.op for step in recipe.steps] == ["emit"]


def test_what_int8_keeps_in_float_stands_in_the_recipe_with_its_reason() -> None:
    variant = Variant(method="mse", excluded={"gemm": "too few bits"})
    recipe = variant.recipe("onnx", "onnx-u8s8")
    assert recipe.steps[0].params == {
        "scheme": "onnx-u8s8",
        "method": "mse",
        "excluded": {"gemm": "too few bits"},
    }
    assert recipe.id == "onnx-int8-mse-float1"


def test_a_repair_of_the_weights_stands_in_the_quantize_step_and_in_the_id() -> None:
    recipe = Variant(method="minmax", repairs=("bias_correction",)).recipe("tflite", "tflite-int8")
    assert [step.op for step in recipe.steps] == ["quantize", "emit"]
    assert recipe.steps[0].params["weights"] == ["bias_correction"]
    assert recipe.id == "tflite-int8-minmax-bias_correction"


def test_a_recipe_is_read_back_from_its_json() -> None:
    recipe = Variant(method="mse", repairs=("bias_correction",), excluded={"a": "why"}).recipe("onnx", "onnx-u8s8")
    assert read_recipes(recipe.to_json(), where="here") == (recipe,)


def test_of_a_whole_search_the_accepted_candidates_are_replayed() -> None:
    good, bad = float_recipe("onnx"), float_recipe("tflite")
    document = {
        "candidates": [{**good.to_json(), "status": "accepted"}, {**bad.to_json(), "status": "rejected"}],
        "best": {},
    }
    assert read_recipes(document, where="here") == (good,)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        7,
        {"format": "onnx", "precision": "int8"},
        {"format": "coreml", "precision": "int8", "recipe": []},
        {"format": "onnx", "precision": "int8", "recipe": [{"scheme": "x"}]},
        {"candidates": []},
    ],
)
def test_what_is_no_recipe_is_refused(document: Any) -> None:
    with pytest.raises(UsageError, match="here"):
        read_recipes(document, where="here")


def test_steps_keep_their_parameters() -> None:
    step = Step(op="quantize", params={"scheme": "s", "method": "mse", "methods": {"x": "minmax"}})
    recipe = Recipe(format="onnx", precision="int8", steps=(step,))
    assert read_recipes(recipe.to_json(), where="here")[0].steps == (step,)
    assert recipe.id == "onnx-int8-mse+"
