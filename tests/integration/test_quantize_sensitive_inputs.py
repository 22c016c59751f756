"""The repair for inputs that 8 bits cannot hold: found where it is needed, and only there."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.sensitive_inputs import find_sensitive_inputs

pytestmark = pytest.mark.onnxruntime

SCHEME = SCHEMES["onnx-u8s8"]


@pytest.fixture(params=["h = MatMul(x, w)", "t = Identity(x) h = MatMul(t, w)"], ids=["read", "moved and read"])
def dense(request: pytest.FixtureRequest) -> ir.Model:
    """Two layers; the first ignores column 0 of its input."""
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,8] x) => (float[N,4] y) '
        f"{{ {request.param} r = Relu(h) y = MatMul(r, v) }}"
    )
    random = np.random.default_rng(0)
    w, v = random.normal(size=(8, 16)).astype(np.float32), random.normal(size=(16, 4)).astype(np.float32)
    w[0] = 0
    proto.graph.initializer.extend([onnx.numpy_helper.from_array(w, "w"), onnx.numpy_helper.from_array(v, "v")])
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def _samples(first_column: float) -> NDArray[np.float32]:
    samples = np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)
    samples[:, 0] *= first_column
    return samples


def test_an_input_with_one_huge_column_keeps_its_reader_in_float(dense: ir.Model) -> None:
    batches = [{"x": _samples(500.0)}]
    ranges = collect_ranges(dense, batches, methods=("minmax",)).tensors["minmax"]
    found = find_sensitive_inputs(dense, ranges, SCHEME, batches)
    assert "h" in found
    assert "'x'" in found["h"]
    plan = plan_quantization(dense, ranges, SCHEME, excluded=found)
    assert not {"x", "t"} & set(plan.activations)
    assert "r" in plan.activations


def test_an_even_input_is_left_alone(dense: ir.Model) -> None:
    batches = [{"x": _samples(1.0)}]
    ranges = collect_ranges(dense, batches, methods=("minmax",)).tensors["minmax"]
    assert find_sensitive_inputs(dense, ranges, SCHEME, batches) == {}
