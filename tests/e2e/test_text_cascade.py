"""From a vocabulary and two models that read words to one bundle that takes text and asks the big model when unsure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edgeai
from edgeai.inspection import inspect
from edgeai_converters.pipeline_writer import write_pipeline
from edgeai_runtime.loading import load
from edgeai_runtime.pipeline import PipelineModel

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.onnxruntime

WORDS = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(30))]
LENGTH = 6
ATOL = 1e-5  # one engine's float32 against numpy's


def _network(path: Path, width: int) -> dict[str, Any]:
    """Write a bag of words: the mean of vectors, times a matrix; return its constants."""
    random = np.random.default_rng(width)
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (int32[batch,{LENGTH}] words) => (float[batch,2] scores) {{
        vectors = Gather (table, words) mean = ReduceMean<keepdims=0> (vectors, axes) scores = Gemm (mean, matrix) }}"""
    model = onnx.parser.parse_model(text)
    constants = {
        "table": random.normal(size=(len(WORDS), width)).astype(np.float32),
        "matrix": random.normal(size=(width, 2)).astype(np.float32),
        "axes": np.array([1]),
    }
    for name, array in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return constants


def _by_hand(constants: dict[str, Any], text: str) -> Any:
    numbers = [WORDS.index(word) if word in WORDS else 1 for word in text.split()][:LENGTH]
    numbers += [0] * (LENGTH - len(numbers))
    scores = constants["table"][numbers].mean(axis=0) @ constants["matrix"]
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def test_text_goes_in_and_the_unsure_ones_go_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in random.integers(0, 35, random.integers(1, 9))) for _ in range(120)]
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    np.savez(tmp_path / "data.npz", words=np.array(texts), y=random.integers(0, 2, len(texts)))
    constants = {}
    for name, width in (("small", 4), ("big", 16)):
        constants[name] = _network(tmp_path / f"{name}.onnx", width)
        result = edgeai.compress(
            tmp_path / f"{name}.onnx",
            data=str(tmp_path / "data.npz"),
            formats=("onnx",),
            precisions=("float32",),
            prune="never",
            preprocess={"words": f"tokenize:{tmp_path / 'words.txt'},{LENGTH}"},
            postprocess={"scores": "softmax"},
            work=tmp_path / f"work-{name}",
        )
        result.save(tmp_path / f"{name}.edge")
    (tmp_path / "words.txt").unlink()  # from here on the bundle has its own

    whole = tmp_path / "whole.edge"
    stages = {name: tmp_path / f"{name}.edge" for name in ("small", "big")}
    write_pipeline(whole, stages, kind="cascade", thresholds=[0.7])

    small = np.array([_by_hand(constants["small"], text) for text in texts[:20]])
    unsure = small.max(axis=1) < 0.7
    expected = np.where(
        unsure[:, np.newaxis], np.array([_by_hand(constants["big"], text) for text in texts[:20]]), small
    )
    with load(whole) as model:
        assert isinstance(model, PipelineModel)
        np.testing.assert_allclose(model(texts[:20]), expected, atol=ATOL)
        np.testing.assert_allclose(model(texts[0]), expected[0], atol=ATOL)
        assert model.samples["big"] == unsure.sum() + unsure[0]
        assert 0 < unsure.sum() < 20

    inside = inspect(whole)
    assert [one.id for one in inside.variants] == ["small/onnx-float32", "big/onnx-float32"]
    said = subprocess.run(
        [sys.executable, "-m", "edgeai_runtime", "verify", str(whole), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(said.stdout)
    assert document["ok"], document
    names = [one["name"] for one in document["checks"]]
    for name in ("small", "big"):
        assert any(one.startswith(f"{name}: golden onnx-float32") for one in names)
