"""A source that is quantized already: its integers are carried over, and it is dequantized and quantized anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import edgeai
from edgeai.result import CompressResult
from edgeai_converters.recipe import read_recipes
from edgeai_runtime.errors import UsageError

pytestmark = pytest.mark.onnxruntime
_RANDOM = np.random.default_rng(0)
_WEIGHT = _RANDOM.normal(0, 0.3, (64, 32)).astype(np.float32)
_HEAD = _RANDOM.normal(0, 0.3, (32, 4)).astype(np.float32)


def _float_network(path: Path) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["r"], name="clamp"),
        helper.make_node("MatMul", ["r", "h"], ["scores"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(_WEIGHT, "w"), numpy_helper.from_array(_HEAD, "h")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _samples(n: int = 160) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    x = np.random.default_rng(1).normal(0, 1, (n, 64)).astype(np.float32)
    return x, (np.maximum(x @ _WEIGHT, 0) @ _HEAD).argmax(-1)


def _compress(model: Path, tmp_path: Path, **options: object) -> CompressResult:
    return edgeai.compress(
        model,
        _samples(),
        work=tmp_path / "work",
        formats=["onnx"],
        precisions=["float32", "int8"],
        max_drop=None,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """An ONNX file with Quantize/Dequantize nodes, made by a first compression."""
    first = _compress(_float_network(tmp_path / "float.onnx"), tmp_path)
    made = next(one for one in first.candidates if one.recipe.precision == "int8")
    assert made.artifact is not None
    return made.artifact.path


def test_integers_of_a_quantized_source_are_carried_over_and_also_made_anew(quantized: Path, tmp_path: Path) -> None:
    result = _compress(quantized, tmp_path)
    ids = [one.id for one in result.candidates]
    assert ids[:2] == ["onnx-float32", "onnx-int8-carry_over"]
    assert any(name.startswith("onnx-int8-") and name != "onnx-int8-carry_over" for name in ids)
    assert any("already quantized" in note for note in result.to_json()["notes"])
    carried = result.candidates[1]
    assert carried.artifact is not None
    assert carried.artifact.operators == _operators(quantized)
    assert "the integers of the source, carried over" in carried.notes


def test_the_float_artifact_of_a_quantized_source_is_float(quantized: Path, tmp_path: Path) -> None:
    reference = _compress(quantized, tmp_path).candidates[0]
    assert reference.artifact is not None
    assert "QuantizeLinear" not in reference.artifact.operators


def test_a_recipe_that_was_found_is_replayed_without_a_search(tmp_path: Path) -> None:
    model = _float_network(tmp_path / "float.onnx")
    found = _compress(model, tmp_path, exclude={"second_1": "told to"})
    recipes = read_recipes(json.loads(json.dumps(found.to_json())), where="here")
    again = _compress(model, tmp_path / "elsewhere", recipes=recipes)
    assert [one.id for one in again.candidates] == [recipe.id for recipe in recipes]
    before = {one.id: one.artifact for one in found.candidates}
    for one in again.candidates:
        made = before[one.id]
        assert made is not None
        assert one.artifact is not None
        assert one.artifact.path.read_bytes() == made.path.read_bytes()


def test_a_node_that_was_excluded_stays_in_float_and_the_candidate_says_why(tmp_path: Path) -> None:
    result = _compress(_float_network(tmp_path / "float.onnx"), tmp_path, exclude={"second_1": "told to"})
    made = next(one for one in result.candidates if one.recipe.precision == "int8")
    assert "in float: Gemm: told to" in made.notes


def test_an_operation_to_exclude_that_is_not_there_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no operation 'secnd_1'") as error:
        _compress(_float_network(tmp_path / "float.onnx"), tmp_path, exclude={"secnd_1": "told to"})
    assert "second_1" in str(error.value.hint)


def test_integer_inputs_and_outputs_on_request_are_measured_as_such(tmp_path: Path) -> None:
    result = _compress(_float_network(tmp_path / "float.onnx"), tmp_path, boundary="int8")
    made = next(one for one in result.candidates if one.recipe.precision == "int8")
    assert made.artifact is not None, made.reason
    assert [spec.dtype for spec in (*made.artifact.inputs, *made.artifact.outputs)] == ["int8", "int8"]
    assert made.certificate is not None
    assert abs(made.certificate.drop) < 0.2
    x, _ = _samples(8)
    wanted = np.maximum(x @ _WEIGHT, 0) @ _HEAD
    before, after = made.artifact.inputs[0].quantization, made.artifact.outputs[0].quantization
    assert before is not None
    assert after is not None
    stored = np.clip(np.rint(x / before.scale) + before.zero_point, -128, 127).astype(np.int8)
    with edgeai.load(made.artifact.path) as model:
        found = (model(stored).astype(np.float32) - after.zero_point) * after.scale
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_integer_operators_on_request_replace_quantize_nodes(tmp_path: Path) -> None:
    result = _compress(_float_network(tmp_path / "float.onnx"), tmp_path, qoperator=True)
    made = next(one for one in result.candidates if one.recipe.precision == "int8")
    assert made.artifact is not None, made.reason
    assert any(name.startswith(("QLinear", "QGemm")) for name in made.artifact.operators)


def _operators(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in onnx.load(path).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
