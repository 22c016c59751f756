"""Recipes are data: which are tried follows from the spec alone."""

from __future__ import annotations

from pathlib import Path

from edgeai_converters.search.recipes import compressed_recipes, float_recipe
from edgeai_converters.spec import CompressSpec


def test_static_int8_gets_one_recipe_per_range_method_best_first() -> None:
    recipes = compressed_recipes(
        CompressSpec(source=Path("m.onnx")), "tflite", scheme="tflite-int8", methods=("mse", "minmax")
    )
    assert [recipe.id for recipe in recipes] == [
        "tflite-float16",
        "tflite-dynamic_int8",
        "tflite-int8-mse",
        "tflite-int8-minmax",
    ]


def test_what_int8_keeps_in_float_stands_in_the_recipe_with_its_reason() -> None:
    spec = CompressSpec(source=Path("m.onnx"), precisions=("int8",))
    (recipe,) = compressed_recipes(
        spec, "onnx", scheme="onnx-u8s8", methods=("mse",), excluded={"gemm": "too few bits"}
    )
    assert recipe.steps[0].params["excluded"] == {"gemm": "too few bits"}
    assert recipe.id == "onnx-int8-mse"


def test_only_the_precisions_asked_for_are_tried() -> None:
    spec = CompressSpec(source=Path("m.onnx"), precisions=("float16",))
    recipes = compressed_recipes(spec, "onnx", scheme="onnx-u8s8", methods=("mse",))
    assert [recipe.precision for recipe in recipes] == ["float16"]


def test_the_reference_is_plain_float() -> None:
    recipe = float_recipe("openvino")
    assert recipe.id == "openvino-float32"
    assert [step.op for step in recipe.steps] == ["emit"]
