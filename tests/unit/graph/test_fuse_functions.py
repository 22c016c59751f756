"""Written-out functions become operators, whatever way they were written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.passes.fuse_functions import fuse_functions

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]

_ONE = {"inputs": "float[N,8] x", "outputs": "float[N,8] z"}


def _number(value: float) -> np.ndarray[Any, Any]:
    return np.array(value, np.float32)


_NUMBERS = {
    "half": _number(0.5),
    "one": _number(1),
    "root": _number(np.sqrt(2)),
    "inverse": _number(np.sqrt(0.5)),
    "minus": _number(-np.sqrt(0.5)),
    "cubed": _number(3),
    "small": _number(0.044715),
    "slope": _number(np.sqrt(2 / np.pi)),
    "three": _number(3),
    "six": _number(6),
    "zero": _number(0),
    "sixth": _number(1 / 6),
    "tenth": _number(0.1),
}

GELU = {
    "half last": "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) z = Mul(d, half)",
    "half first": "a = Mul(x, inverse) b = Erf(a) c = Add(one, b) h = Mul(half, x) z = Mul(h, c)",
    "by the complement": "a = Mul(x, minus) b = Erf(a) c = Sub(one, b) h = Mul(x, half) z = Mul(h, c)",
    "half inside": "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(c, half) z = Mul(x, d)",
}
TANH_GELU = {
    "a power": "p = Pow(x, cubed) a = Mul(p, small) b = Add(x, a) c = Mul(b, slope) t = Tanh(c) d = Add(t, one) "
    "h = Mul(x, half) z = Mul(h, d)",
    "products": "q = Mul(x, x) p = Mul(q, x) a = Mul(small, p) b = Add(a, x) c = Mul(slope, b) t = Tanh(c) "
    "d = Add(one, t) e = Mul(x, d) z = Mul(half, e)",
    "factored": "q = Mul(x, x) a = Mul(small, q) b = Add(one, a) e = Mul(x, slope) c = Mul(e, b) t = Tanh(c) "
    "d = Add(one, t) f = Mul(half, d) z = Mul(x, f)",
}
OTHERS = {
    "HardSwish": "a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) z = Div(c, six)",
    "HardSigmoid": "a = Add(x, three) b = Clip(a, zero, six) z = Mul(b, sixth)",
    "Softplus": "a = Exp(x) b = Add(a, one) z = Log(b)",
    "Mish": "a = Softplus(x) b = Tanh(a) z = Mul(x, b)",
    "Sigmoid": "a = Neg(x) b = Exp(a) c = Add(one, b) z = Reciprocal(c)",
}


def _with_constants(build: Build, body: str, **boundary: str) -> Any:
    used = {
        name: value
        for name, value in _NUMBERS.items()
        if name in body.replace("(", " ").replace(",", " ").replace(")", " ").split()
    }
    return build(body, **boundary, **used)


@pytest.mark.parametrize("way", GELU)
def test_gelu_is_recognised(build: Build, apply: Apply, way: str) -> None:
    model = _with_constants(build, GELU[way], **_ONE)
    counts, changed = apply(fuse_functions, model)
    assert changed
    assert next(node for node in model.graph if node.op_type == "Gelu").attributes.get("approximate") is None
    assert model.graph.opset_imports[""] == 20
    assert counts["Gelu"] == 1


@pytest.mark.parametrize("way", TANH_GELU)
def test_tanh_gelu_is_recognised(build: Build, apply: Apply, way: str) -> None:
    model = _with_constants(build, TANH_GELU[way], **_ONE)
    assert apply(fuse_functions, model)[0]["Gelu"] == 1
    assert next(node for node in model.graph if node.op_type == "Gelu").attributes["approximate"].value == "tanh"


@pytest.mark.parametrize("op_type", OTHERS)
def test_an_activation_is_recognised(build: Build, apply: Apply, op_type: str) -> None:
    assert apply(fuse_functions, _with_constants(build, OTHERS[op_type], **_ONE))[0][op_type] == 1


def test_the_argument_of_a_function_may_be_a_product(build: Build, apply: Apply) -> None:
    body = "y = Mul(x, tenth) a = Div(y, root) b = Erf(a) c = Add(b, one) d = Mul(y, c) z = Mul(d, half)"
    model = _with_constants(build, body, **_ONE)
    apply(fuse_functions, model)
    gelu = next(node for node in model.graph if node.op_type == "Gelu")
    assert gelu.inputs[0].name == "y"


@pytest.mark.parametrize(
    "body",
    [
        "a = Div(x, root) b = Erf(a) c = Add(b, one) z = Mul(x, c)",  # twice a GELU
        "a = Mul(x, half) b = Erf(a) c = Add(b, one) d = Mul(x, c) z = Mul(d, half)",  # another slope
        "p = Pow(x, cubed) a = Mul(p, tenth) b = Add(x, a) c = Mul(b, slope) t = Tanh(c) d = Add(t, one) "
        "h = Mul(x, half) z = Mul(h, d)",
        "a = Add(x, three) b = Clip(a, zero, six) z = Mul(x, b)",
        "a = Exp(x) b = Add(a, half) z = Log(b)",
    ],
)
def test_a_function_that_is_another_one_stays(build: Build, apply: Apply, body: str) -> None:
    model = _with_constants(build, body, **_ONE)
    assert apply(fuse_functions, model)[1] is False


def test_a_gelu_of_two_values_stays(build: Build, apply: Apply) -> None:
    body = "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(y, c) z = Mul(d, half)"
    model = _with_constants(build, body, inputs="float[N,8] x, float[N,8] y", outputs="float[N,8] z")
    assert apply(fuse_functions, model)[1] is False
