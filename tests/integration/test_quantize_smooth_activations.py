"""SmoothQuant scaling: exact in float, folded into what is there, and what makes 8 bits enough for outlier channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.smooth_activations import smooth_activations
from edgeai_runtime.errors import UsageError

pytestmark = pytest.mark.onnxruntime

# Constants are stored as float32 after the division: the last bits differ.
FLOAT_TOLERANCE = 1e-5

NORMS = {
    "one operator": "n = LayerNormalization <axis = -1> (x, scale, shift)",
    "written out": """m = ReduceMean <keepdims = 1> (x, axes) d = Sub(x, m) q = Mul(d, d)
        v = ReduceMean <keepdims = 1> (q, axes) e = Add(v, tiny) r = Sqrt(e)
        u = Div(d, r) t = Mul(u, scale) n = Add(t, shift)""",
    "a layer": "h = MatMul(x, w0) hb = Add(h, shift) n = Relu(hb)",
}  # fmt: skip


def _block(norm: str, end: str = "y = Add(s, o)") -> ir.Model:
    """Query, key and value of a transformer's block behind a normalization with three outlier channels."""
    body = f"""{NORMS[norm]} a = MatMul(n, w1) b = MatMul(n, w2) c = MatMul(n, w3)
        s = Add(a, b) o = Add(c, bias) {end}"""
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,6,16] x) => (float[N,6,16] y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    scale = np.ones(16)
    scale[[2, 5, 11]] = [60.0, 90.0, 40.0]
    arrays = {
        "scale": scale,
        "shift": random.normal(size=16) * 0.1 * scale,
        "bias": random.normal(size=16),
        "tiny": np.array([1e-5]),
        "w0": random.normal(size=(16, 16)) / 4 * scale,
        **{f"w{i}": random.normal(size=(16, 16)) / 4 / scale[:, None] ** 0.9 for i in (1, 2, 3)},
    }
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "axes"))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _batches() -> list[dict[str, NDArray[Any]]]:
    return [{"x": np.random.default_rng(1).normal(size=(32, 6, 16)).astype(np.float32)}]


def _maxima(model: ir.Model) -> dict[str, tuple[float, ...]]:
    return collect_ranges(model, _batches(), methods=("minmax",), channels=True).channel_maxima


def _run(model: ir.Model) -> NDArray[Any]:
    return GraphRunner(model).run(_batches()[0])["y"]


def _int8_error(model: ir.Model, wanted: NDArray[Any]) -> float:
    ranges = collect_ranges(model, _batches(), methods=("minmax",)).tensors["minmax"]
    found = _run(insert_qdq(model, plan_quantization(model, ranges, SCHEMES["onnx-u8s8"]))[0])
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_float_graph_computes_the_same(norm: str, alpha: float) -> None:
    model = _block(norm)
    smooth, changed = smooth_activations(model, _maxima(model), alpha=alpha)
    assert changed
    wanted = _run(model)
    assert np.abs(_run(smooth) - wanted).max() < FLOAT_TOLERANCE * np.abs(wanted).max()
    assert len(smooth.graph) == len(model.graph)


@pytest.mark.parametrize("norm", NORMS)
def test_outlier_channels_no_longer_spoil_the_others(norm: str) -> None:
    model = _block(norm)
    wanted = _run(model)
    after = _int8_error(smooth_activations(model, _maxima(model))[0], wanted)
    assert after < 0.5 * _int8_error(model, wanted)


def test_alpha_of_one_makes_all_channels_alike() -> None:
    model = _block("one operator")
    found = _maxima(smooth_activations(model, _maxima(model), alpha=1.0)[0])["n"]
    assert max(found) == pytest.approx(min(found), rel=1e-3)


def test_a_normalization_that_a_residual_sum_reads_too_is_left_alone() -> None:
    model = _block("one operator", end="so = Add(s, o) y = Add(so, n)")
    assert smooth_activations(model, _maxima(model)) == (model, False)


def test_the_graph_given_is_not_changed() -> None:
    model = _block("one operator")
    before = ir.to_proto(model).SerializeToString()
    smooth_activations(model, _maxima(model))
    assert ir.to_proto(model).SerializeToString() == before


def test_an_alpha_out_of_range_is_an_error() -> None:
    with pytest.raises(UsageError, match="alpha must be between 0 and 1"):
        smooth_activations(_block("one operator"), {}, alpha=1.5)
