"""Live models are converted like files: through the same gate, without tools that read files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeai
import edgeai_runtime


@pytest.mark.torch
@pytest.mark.litert
def test_a_live_pytorch_module_becomes_an_artifact_that_answers_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("ai_edge_litert")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten()).eval()
    done = edgeai.convert(module, "tflite", out=tmp_path / "live.tflite", input_shapes={"input": (1, 3, 6, 6)})
    x = np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(edgeai_runtime.load(done.artifact.path)(x), expected, atol=1e-5)
