"""Networks whose first axis counts no samples: time steps, layers of a state, a cache of keys and values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from edgeai_converters.convert.convert import convert
from edgeai_converters.routes import SUFFIXES
from edgeai_converters.spec import ConvertSpec
from edgeai_runtime import load
from edgeai_runtime.manifest import FORMATS, Format

_PACKAGES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}


def _source(path: Path, batch: str) -> Path:
    """Write a network of a sequence [time, batch, features], a state [layers, batch, units], a cache by layer."""
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float[12,{batch},4] x, float[2,{batch},3] h, float[2,{batch},6,3] cache)
        => (float[12,{batch},3] y, float[2,{batch},3] after, float[2,{batch},5,3] later)
        <int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] six = {{6}}, int64[1] axis = {{2}}> {{
        p = MatMul(x, w) first = Slice(h, zero, one, zero) q = Add(p, first) y = Tanh(q)
        m = ReduceMean<keepdims = 1>(y, zero) after = Add(h, m) later = Slice(cache, one, six, axis) }}"""
    proto = onnx.parser.parse_model(text)
    weights = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("written", "asked", "size"),
    [("N", None, None), ("N", 1, 1), ("N", 3, 3), ("1", None, 1), ("1", 1, 1), ("2", None, 2)],
)
def test_the_batch_is_found_behind_the_first_axis(
    tmp_path: Path, format: Format, written: str, asked: int | None, size: int | None
) -> None:
    pytest.importorskip(_PACKAGES[format])
    source = _source(tmp_path / "net.onnx", written)
    target = tmp_path / f"out{SUFFIXES[format]}"
    done = convert(ConvertSpec(source=source, format=format, batch=asked), target)
    assert done.parity.max_rel < 1e-5
    with load(target, threads=1) as model:
        assert [spec.shape for spec in model.inputs] == [(12, size, 4), (2, size, 3), (2, size, 6, 3)]
        random = np.random.default_rng(1)
        feeds = [
            random.normal(size=[3 if s is None else s for s in spec.shape]).astype(np.float32) for spec in model.inputs
        ]
        outputs = dict(zip((spec.name for spec in model.outputs), model.run_raw(feeds), strict=True))
    assert np.array_equal(outputs["later"], feeds[2][:, :, 1:])
