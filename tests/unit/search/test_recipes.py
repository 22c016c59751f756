"""Recipes are data: which are tried follows from the spec alone, and one that was found can be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeai_converters.recipe import Recipe, read_recipes
from edgeai_converters.search.recipes import float_recipe, int4_recipes, stored_recipes
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


def _dense(inputs: int, outputs: int, other: int) -> ir.Model:
    """Return a graph of one dense layer, beside a constant of `other` elements that is added."""
    weight = numpy_helper.from_array(np.ones((inputs, outputs), np.float32), "w")
    added = numpy_helper.from_array(np.ones((other, outputs), np.float32), "b")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "b"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [other, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [other, outputs])],
        [weight, added],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return ir.from_proto(proto)


@pytest.mark.parametrize(
    ("inputs", "outputs", "other", "worth"),
    [(512, 512, 1, True), (512, 512, 1024, False), (64, 64, 1, False)],
    ids=["most of it is a large layer", "most of it is something else", "the layer is too small"],
)
def test_int4_is_tried_unasked_where_it_reaches_most_of_the_weights(
    inputs: int, outputs: int, other: int, worth: bool
) -> None:
    model = _dense(inputs, outputs, other)
    found = int4_recipes(CompressSpec(source=Path("m.onnx")), "onnx", model, calibrated=False)
    assert [recipe.id for recipe in found] == (["onnx-int4"] if worth else [])


def test_int4_that_was_asked_for_is_tried_and_rounded_by_samples_where_there_are_some() -> None:
    spec = CompressSpec(source=Path("m.onnx"), precisions=("int4",))
    (recipe,) = int4_recipes(spec, "onnx", _dense(64, 64, 1), calibrated=True)
    assert recipe.id == "onnx-int4-gptq"
