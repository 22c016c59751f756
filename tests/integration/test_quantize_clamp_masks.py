"""Huge mask constants before a softmax: clamped without a change in float, and named to be kept out of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.clamp_masks import clamp_masks, find_masks
from edgeai_converters.quantize.store_float16 import store_float16

pytestmark = pytest.mark.onnxruntime

T = 6
CAUSAL = np.triu(np.ones((T, T), bool), 1)

FORMS = {
    "added": "s = Add(q, mask) p = Softmax(s)",
    "added, then moved": "s = Add(mask, q) r = Identity(s) p = Softmax(r)",
    "chosen": "s = Where(hidden, huge, q) p = Softmax(s)",
}


def _attention(form: str, huge: float, hidden: NDArray[np.bool_] = CAUSAL) -> ir.Model:
    body = FORMS.get(form, form)
    proto = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[N,{T},8] x) => (float[N,{T},8] y) '
        f"{{ k = Transpose <perm = [0, 2, 1]> (x) d = MatMul(x, k) q = Mul(d, third) {body} y = MatMul(p, x) }}"
    )
    arrays: dict[str, NDArray[Any]] = {
        "mask": np.where(hidden, np.float32(huge), np.float32(0)),
        "hidden": hidden,
        "huge": np.float32(huge),
        "third": np.float32(1 / 3),
    }
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def _samples() -> dict[str, NDArray[Any]]:
    return {"x": np.random.default_rng(0).normal(size=(8, T, 8)).astype(np.float32)}


def _clamped(model: ir.Model) -> tuple[ir.Model, bool]:
    return clamp_masks(model, collect_ranges(model, [_samples()], methods=("minmax",)).tensors["minmax"])


@pytest.mark.parametrize("huge", [-1e9, -65504.0, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("form", FORMS)
def test_the_float_graph_computes_exactly_the_same(form: str, huge: float) -> None:
    model = _attention(form, huge)
    clamped, changed = _clamped(model)
    assert changed
    np.testing.assert_array_equal(GraphRunner(clamped).run(_samples())["y"], GraphRunner(model).run(_samples())["y"])


@pytest.mark.parametrize("form", FORMS)
def test_the_clamped_mask_fits_float16_and_the_scores_keep_their_histogram(form: str) -> None:
    clamped, _ = _clamped(_attention(form, -1e9))
    low, _ = collect_ranges(clamped, [_samples()], methods=("minmax",)).tensors["minmax"]["s"]
    assert -300 < low < -100
    halved, _ = store_float16(clamped)
    assert np.isfinite(GraphRunner(halved).run(_samples())["y"]).all()


def test_a_row_that_is_masked_as_a_whole_is_left_alone() -> None:
    hidden = CAUSAL.copy()
    hidden[2] = True
    model = _attention("added", -1e9, hidden)
    assert _clamped(model) == (model, False)


def test_constants_that_are_no_masks_are_left_alone() -> None:
    model = _attention("added", -50.0)
    assert _clamped(model) == (model, False)
    assert find_masks(model) == {}


@pytest.mark.parametrize("form", FORMS)
def test_masking_nodes_are_named_to_be_kept_in_float(form: str) -> None:
    found = find_masks(_attention(form, -1e9))
    assert list(found) == ["s"]
    assert "-1e+09" in found["s"]


def test_a_mask_made_from_an_input_is_named_too() -> None:
    model = _attention("i = ReduceMax <keepdims = 0> (x, two) m = Mul(i, huge) s = Add(q, m) p = Softmax(s)", -1e9)
    model.graph.register_initializer(_axes())
    reducer = next(node for node in model.graph if node.op_type == "ReduceMax")
    reducer.replace_input_with(1, model.graph.initializers["two"])
    assert set(find_masks(model)) == {"m", "s"}


def _axes() -> ir.Value:
    return ir.Value(name="two", const_value=ir.tensor(np.array([2]), name="two"))
