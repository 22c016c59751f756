"""Quantization-aware training inside a search, and what data it may see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import edgeai
from edgeai_converters.recipe import Recipe
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Step

pytestmark = [pytest.mark.onnxruntime, pytest.mark.torch]
_RANDOM = np.random.default_rng(0)
_WEIGHT = _RANDOM.normal(0, 0.3, (64, 32)).astype(np.float32)
_WEIGHT[0] *= 60.0  # one feature sets the scale of all weights: the others keep two or three bits
_HEAD = _RANDOM.normal(0, 0.3, (32, 4)).astype(np.float32)
_TRAINED = Recipe(
    format="onnx",
    precision="int8",
    steps=(
        Step(op="train_quantized", params={"epochs": 20, "learning_rate": 1e-3, "batch_size": 16}),
        Step(op="quantize", params={"scheme": "onnx-u8s8", "method": "minmax"}),
        Step(op="emit", params={"format": "onnx"}),
    ),
)


def _network(path: Path) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "h"], ["scores"]),
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


def _samples(n: int = 160, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    x = np.random.default_rng(seed).normal(0, 1, (n, 64)).astype(np.float32)
    x[:, 0] /= 60.0
    return x, (np.maximum(x @ _WEIGHT, 0) @ _HEAD).argmax(-1)


def _compress(tmp_path: Path, **options: Any) -> Any:
    return edgeai.compress(
        _network(tmp_path / "m.onnx"),
        _samples(400),
        work=tmp_path / "work",
        formats=["onnx"],
        precisions=["float32", "int8"],
        max_drop=None,
        **options,
    )


def test_training_data_that_accuracy_is_measured_on_is_refused_by_content(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="also among those that accuracy is measured on"):
        _compress(tmp_path, train_data=_samples(400))


def test_a_trained_recipe_is_made_with_the_training_data(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    made = _compress(tmp_path, train_data=_samples(256, seed=2), recipes=[_TRAINED])
    plain = Recipe(format="onnx", precision="int8", steps=_TRAINED.steps[1:])
    untrained = _compress(tmp_path, recipes=[plain])
    assert _integers(made, _TRAINED) != _integers(untrained, plain)


def test_a_trained_recipe_without_training_data_is_rejected_with_what_to_give(tmp_path: Path) -> None:
    found = _compress(tmp_path, recipes=[_TRAINED])
    trained = next(one for one in found.candidates if one.id == _TRAINED.id)
    assert (trained.status, trained.limit) == ("rejected", "failed")
    assert "needs data to train on" in trained.reason


def _integers(result: Any, recipe: Recipe) -> set[bytes]:
    """Return the stored weights of a candidate."""
    candidate = next(one for one in result.candidates if one.id == recipe.id)
    assert candidate.artifact is not None, candidate.reason
    tensors = onnx.load(candidate.artifact.path).graph.initializer
    return {numpy_helper.to_array(one).tobytes() for one in tensors if one.data_type == TensorProto.INT8}
