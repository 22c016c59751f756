"""Written-out LayerNormalization becomes the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.passes.fuse_layer_norm import fuse_layer_norm

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]

_SEQUENCE = {"inputs": "float[N,5,8] x", "outputs": "float[N,5,8] z"}
_TWO = np.array(2, np.float32)
_EPSILON = np.array(1e-5, np.float32)
_LAST = np.array([-1], np.int64)
_ROOT = "m = ReduceMean(x, axes) d = Sub(x, m) {square} v = ReduceMean(q, axes) e = Add(v, eps) s = Sqrt(e) "

WAYS = {
    "PyTorch": (_ROOT.format(square="q = Pow(d, two)") + "n = Div(d, s) a = Mul(n, w) z = Add(a, b)", True, True),
    "no shift": (_ROOT.format(square="q = Mul(d, d)") + "n = Div(d, s) z = Mul(w, n)", True, False),
    "bare": (_ROOT.format(square="q = Mul(d, d)") + "r = Reciprocal(s) z = Mul(d, r)", False, False),
    "TensorFlow": (
        _ROOT.format(square="q = Mul(d, d)")
        + "i = Reciprocal(s) r = Mul(i, w) p = Mul(x, r) k = Mul(m, r) c = Sub(b, k) z = Add(p, c)",
        True,
        True,
    ),
    "TensorFlow with a negated mean": (
        _ROOT.format(square="q = Mul(d, d)")
        + "i = Reciprocal(s) r = Mul(i, w) p = Mul(x, r) o = Neg(m) k = Mul(o, r) c = Add(k, b) z = Add(p, c)",
        True,
        True,
    ),
    "TensorFlow with the shift last": (
        _ROOT.format(square="q = Mul(d, d)")
        + "i = Reciprocal(s) r = Mul(i, w) p = Mul(x, r) o = Neg(m) k = Mul(o, r) c = Add(p, k) z = Add(c, b)",
        True,
        True,
    ),
    "TensorFlow by a quotient": (
        _ROOT.format(square="q = Mul(d, d)")
        + "i = Div(one, s) r = Mul(i, w) p = Mul(x, r) k = Mul(m, r) c = Sub(b, k) z = Add(c, p)",
        True,
        True,
    ),
}


def _constants(body: str) -> dict[str, Any]:
    every = {"axes": _LAST, "eps": _EPSILON, "two": _TWO, "one": np.array(1, np.float32), "w": (8,), "b": (8,)}
    words = body.replace("(", " ").replace(",", " ").replace(")", " ").split()
    return {name: value for name, value in every.items() if name in words}


@pytest.mark.parametrize("way", WAYS)
def test_a_written_out_layer_norm_is_recognised(build: Build, apply: Apply, way: str) -> None:
    body, scale, shift = WAYS[way]
    model = build(body, **_SEQUENCE, **_constants(body))
    counts, changed = apply(fuse_layer_norm, model)
    assert changed
    assert counts["LayerNormalization"] == 1
    node = next(node for node in model.graph if node.op_type == "LayerNormalization")
    assert len(node.inputs) == (3 if shift else 2)
    assert np.all(node.inputs[1].const_value.numpy() == 1) == (not scale)


def test_a_scale_wider_than_the_axis_stays_outside(build: Build, apply: Apply) -> None:
    body = _ROOT.format(square="q = Mul(d, d)") + "n = Div(d, s) z = Mul(n, w)"
    model = build(body, **_SEQUENCE, **(_constants(body) | {"w": (5, 8)}))
    counts, changed = apply(fuse_layer_norm, model)
    assert changed
    assert (counts["LayerNormalization"], counts["Mul"]) == (1, 2)  # with the square, which is dead now


@pytest.mark.parametrize(
    "body",
    [
        _ROOT.format(square="q = Mul(d, x)") + "z = Div(d, s)",
        _ROOT.format(square="q = Mul(d, d)") + "z = Div(x, s)",
        "m = ReduceMean(x, first) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, first) e = Add(v, eps) s = Sqrt(e) "
        "z = Div(d, s)",
    ],
)
def test_what_is_no_layer_norm_stays(build: Build, apply: Apply, body: str) -> None:
    constants = _constants(body)
    if "first" in body:
        constants["first"] = np.array([1], np.int64)
        constants.pop("axes", None)
    model = build(body, **_SEQUENCE, **constants)
    assert apply(fuse_layer_norm, model)[1] is False
