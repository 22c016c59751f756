"""Pre-processing folded into the artifact: less is left to the bundle, and raw samples get the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgeai
import edgeai_runtime

pytest.importorskip("onnxruntime")

STEPS = "cast:float32;normalize:mean=[120,115,100],std=[58,57,56];layout:NHWC>NCHW"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution that pads, pooled to four classes."""
    generator = np.random.default_rng(0)
    weights = {
        "w": generator.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "b": generator.normal(size=8).astype(np.float32),
        "v": generator.normal(size=(8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path_factory.mktemp("folded") / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_what_can_be_folded_leaves_the_bundle_and_the_answers_stay(source: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (64, 32, 32, 3), np.uint8)
    bundles = {}
    for folded in (False, True):
        result = edgeai.compress(
            source,
            data={"x": images},
            formats=["onnx"],
            precisions=["float32"],
            preprocess=STEPS,
            fold_preprocessing=folded,
            work=tmp_path / "work",
        )
        bundles[folded] = result.save(tmp_path / f"{folded}.edge")
    with edgeai_runtime.load(bundles[True]) as ours, edgeai_runtime.load(bundles[False]) as plain:
        assert ours.manifest is not None
        left = [step.op for steps in ours.manifest.preprocessing.values() for step in steps]
        if left != ["cast"]:  # it was measured to be slower, and says so
            assert any("not folded" in note for note in result.to_json()["notes"])
        else:
            assert any(note.startswith("Folded into the graph: ") for note in result.to_json()["notes"])
        np.testing.assert_allclose(ours(images[:8]), plain(images[:8]), rtol=1e-4, atol=1e-4)


def test_steps_that_can_not_be_folded_stay_and_it_is_said(source: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (64, 40, 40, 3), np.uint8)
    result = edgeai.compress(
        source,
        data={"x": images},
        formats=["onnx"],
        precisions=["float32"],
        preprocess="cast:float32;layout:NHWC>NCHW;resize:height=32,width=32,layout=NCHW",
        fold_preprocessing=True,
        work=tmp_path / "work",
    )
    assert "No step of the pre-processing can be folded into the graph exactly." in result.to_json()["notes"]
