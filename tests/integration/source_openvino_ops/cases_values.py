"""Operations on single values, reductions, and how values are stored: types, rounding, packed weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.integration.source_openvino_ops.building import MAP, Case, c, draw, ints, op, openvino, p, positive, random

_PER_CHANNEL = np.linspace(-1, 1, 4).reshape(1, 4, 1, 1)

UNARY: dict[str, Case] = {
    name: (lambda name=name: getattr(op, name)(p(MAP)))
    for name in (
        *("abs", "atan", "asinh", "ceiling", "cos", "cosh", "erf", "exp", "floor", "hsigmoid", "hswish", "mish"),
        *("negative", "relu", "sigmoid", "sign", "sin", "sinh", "softplus", "softsign", "tan", "tanh"),
    )
}
BINARY: dict[str, Case] = {
    name: (lambda name=name: getattr(op, name)(p(MAP), p([4, 1, 6], name="y")))
    for name in (
        *("add", "subtract", "multiply", "divide", "maximum", "minimum", "squared_difference", "floor_mod", "mod"),
        *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    )
}
LOGICAL: dict[str, Case] = {
    name: (lambda name=name: getattr(op, name)(p(MAP, bool), p([6], bool, "y")))
    for name in ("logical_and", "logical_or", "logical_xor")
}
REDUCTIONS: dict[str, Case] = {
    f"{name}{'_kept' if keep else ''}": (lambda name=name, keep=keep: getattr(op, name)(p(MAP), ints(1, -1), keep))
    for name in ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_l1", "reduce_l2")
    for keep in (False, True)
}


def bounded(x: Any) -> Any:
    return op.multiply(op.tanh(x), c(0.9))


def rounded(levels: int, low: float, high: float) -> Any:
    return op.fake_quantize(p(MAP), c(low), c(high), c(low), c(high), levels)


def packed(kind: str) -> Any:
    """Return weights `[4, 6]` stored in groups of two, with a scale and a zero point each."""
    values = random.integers(1, 7, (2, 2, 6)).astype(np.float32)
    stored = op.constant(values, dtype=getattr(openvino.Type, kind))
    shifted = op.subtract(op.convert(stored, "f16"), c(np.full((2, 1, 6), 3), np.float16))
    scaled = op.multiply(shifted, c(random.random((2, 1, 6)), np.float16))
    return op.convert(op.reshape(scaled, ints(4, 6), False), "f32")


VALUES: dict[str, Case] = {
    **UNARY,
    **BINARY,
    **LOGICAL,
    **REDUCTIONS,
    "log": lambda: op.log(positive(p(MAP))),
    "sqrt": lambda: op.sqrt(positive(p(MAP))),
    "acosh": lambda: op.acosh(op.add(positive(p(MAP)), c(1))),
    "acos": lambda: op.acos(bounded(p(MAP))),
    "asin": lambda: op.asin(bounded(p(MAP))),
    "atanh": lambda: op.atanh(bounded(p(MAP))),
    "power": lambda: op.power(positive(p(MAP)), c(1.7)),
    "divide integers": lambda: op.divide(p([9], np.int32), c([-3] * 9, np.int32)),
    "mod integers": lambda: op.mod(p([9], np.int32), c([-3] * 9, np.int32)),
    "floor_mod integers": lambda: op.floor_mod(p([9], np.int32), c([-3] * 9, np.int32)),
    "logical_not": lambda: op.logical_not(p(MAP, bool)),
    "select": lambda: op.select(p([2, 1, 6, 6], bool, "m"), p(MAP), c(0.5)),
    "is_nan": lambda: op.is_nan(op.log(p(MAP))),
    "is_inf": lambda: op.is_inf(op.divide(p(MAP), c(0.0))),
    "is_finite": lambda: op.is_finite(op.divide(p(MAP), c(0.0))),
    "round to even": lambda: op.round(op.multiply(op.floor(p(MAP)), c(0.5)), "half_to_even"),
    "round away": lambda: op.round(op.multiply(op.floor(p(MAP)), c(0.5)), "half_away_from_zero"),
    "convert to int": lambda: op.convert(p(MAP), "i32"),
    "convert to bool": lambda: op.convert(p([9], np.int32), "boolean"),
    "convert from u8": lambda: op.multiply(op.convert(p(MAP, np.uint8), "f32"), c(1 / 255)),
    "convert_like": lambda: op.convert_like(p([9], np.int32), c([1.0])),
    "clamp": lambda: op.clamp(p(MAP), -0.5, 1.5),
    "clamp without upper": lambda: op.clamp(p(MAP), 0.0, 3.4e38),
    "clamp integers": lambda: op.clamp(p([9], np.int32), 1.5, 6.5),
    "elu": lambda: op.elu(p(MAP), 0.7),
    "selu": lambda: op.selu(p(MAP), c(1.5), c(1.1)),
    "hard_sigmoid": lambda: op.hard_sigmoid(p(MAP), c(0.3), c(0.4)),
    "prelu one": lambda: op.prelu(p(MAP), c([0.2])),
    "prelu channels": lambda: op.prelu(p(MAP), draw(4)),
    "swish": lambda: op.swish(p(MAP)),
    "swish beta": lambda: op.swish(p(MAP), c(1.7)),
    "gelu exact": lambda: op.gelu(p(MAP), "erf"),
    "gelu tanh": lambda: op.gelu(p(MAP), "tanh"),
    "softmax": lambda: op.softmax(p(MAP), -2),
    "log_softmax": lambda: op.log_softmax(p(MAP), 1),
    "reduce_logical_and": lambda: op.reduce_logical_and(p(MAP, bool), ints(1), True),
    "reduce_logical_or": lambda: op.reduce_logical_or(p(MAP, bool), ints(1, 2), False),
    "cum_sum": lambda: op.cum_sum(p(MAP), c(2, np.int64), True, True),
    "topk max": lambda: op.topk(p(MAP), c(3, np.int64), 1, "max", "value"),
    "topk min": lambda: op.topk(p(MAP), c(2, np.int64), -1, "min", "value", "i64"),
    **{
        f"bitwise_{name}": (lambda name=name: getattr(op, f"bitwise_{name}")(p([9], np.int32), c([5] * 9, np.int32)))
        for name in ("and", "or", "xor")
    },
    "bitwise_not": lambda: op.bitwise_not(p([9], np.int32)),
    "fake_quantize unsigned": lambda: rounded(256, 0.0, 2.55),
    "fake_quantize signed": lambda: rounded(255, -1.27, 1.27),
    "fake_quantize shifted": lambda: rounded(256, -0.7, 1.9),
    "fake_quantize few levels": lambda: rounded(4, -1.0, 2.0),
    "fake_quantize channels": lambda: op.fake_quantize(p(MAP), *(c(_PER_CHANNEL + n) for n in (0, 4, -1, 6)), 256),
    **{
        f"weights of {kind}": (lambda kind=kind: op.matmul(p([3, 4]), packed(kind), False, False))
        for kind in ("f16", "bf16", "i8", "u8", "i4", "u4", "nf4", "f8e4m3")
    },
    "half precision throughout": lambda: op.convert(
        op.relu(op.add(op.convert(p(MAP), "f16"), c(0.5, np.float16))), "f32"
    ),
}
