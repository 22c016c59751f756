"""Each operation the OpenVINO reader has: built with OpenVINO's own functions, read, and held against OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.sources.openvino_ir.graph import read_graph
from edgeai_converters.sources.openvino_ir.op_table import READERS

openvino = pytest.importorskip("openvino")
op = pytest.importorskip("openvino.opset16")
op1 = pytest.importorskip("openvino.opset1")
op8 = pytest.importorskip("openvino.opset8")
op14 = pytest.importorskip("openvino.opset14")

pytestmark = [pytest.mark.openvino, pytest.mark.onnxruntime]

MAX_REL = 1e-4  # single operations in float32: rounding only, but for the polynomial kernels of the CPU plugin
MIN_COSINE = 0.999999

_random = np.random.default_rng(7)
_the_input: list[Any] = []
_per_channel = np.linspace(-1, 1, 4).reshape(1, 4, 1, 1)


def p(shape: list[int], dtype: Any = np.float32, name: str = "x") -> Any:
    node = op.parameter(shape, dtype, name=name)
    _the_input.append(node)
    return node


def c(values: Any, dtype: Any = np.float32) -> Any:
    return op.constant(np.asarray(values, dtype))


def ints(*values: int) -> Any:
    return c(list(values), np.int64)


def draw(*shape: int) -> Any:
    return c(_random.normal(size=shape))


def make(version: str, kind: str, *inputs: Any, **attributes: Any) -> Any:
    """Make an operation that the Python functions lack."""
    factory = pytest.importorskip("openvino.utils.node_factory").NodeFactory(version)
    return factory.create(kind, [each.output(0) for each in inputs], attributes)


def interpolate4(mode: str, *sizes: int) -> Any:
    attributes = {"mode": "linear_onnx", "shape_calculation_mode": mode, "coordinate_transformation_mode": "half_pixel"}
    return make("opset4", "Interpolate", p(MAP), ints(*sizes), c([2.0, 1.5]), ints(2, 3), **attributes)


MAP = [2, 4, 6, 6]
Case = Callable[[], Any]

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


def positive(x: Any) -> Any:
    return op.add(op.abs(x), c(0.5))


def bounded(x: Any) -> Any:
    return op.multiply(op.tanh(x), c(0.9))


def pool(kind: str, *arguments: Any, size: int = 7, **options: Any) -> Case:
    def build() -> Any:
        x = p([2, 3, size, size])
        if kind == "max":
            return op.max_pool(x, *arguments[:1], [1, 1], *arguments[1:], **options).output(0)
        return op14.avg_pool(x, *arguments, **options)

    return build


def conv(auto_pad: str, strides: int, dilations: int = 1, size: int = 7) -> Case:
    return lambda: op.convolution(
        p([2, 3, size, size]), draw(4, 3, 3, 3), [strides] * 2, [1, 0], [0, 2], [dilations] * 2, auto_pad
    )


def transposed(strides: int, auto_pad: str = "explicit", shape: list[int] | None = None, **options: Any) -> Case:
    def build() -> Any:
        x, w = p([2, 3, 5, 5]), draw(3, 4, 3, 3)
        if shape is None:
            return op.convolution_backprop_data(x, w, [strides] * 2, auto_pad=auto_pad, **options)
        return op.convolution_backprop_data(x, w, [strides] * 2, ints(*shape), auto_pad=auto_pad, **options)

    return build


def interpolate(mode: str, transformation: str, to: tuple[int, int], **options: Any) -> Case:
    return lambda: op.interpolate(
        p([2, 3, 6, 6]),
        ints(*to),
        mode,
        "sizes",
        coordinate_transformation_mode=transformation,
        axes=ints(2, 3),
        **options,
    )


def strided(begin: list[int], end: list[int], steps: list[int], **masks: list[int]) -> Case:
    names = ("begin_mask", "end_mask", "new_axis_mask", "shrink_axis_mask", "ellipsis_mask")
    chosen = [masks.get(name, [0] * len(begin)) for name in names]
    return lambda: op.strided_slice(p([2, 4, 6, 5]), ints(*begin), ints(*end), ints(*steps), *chosen)


def sequence(kind: str, direction: str, *, dynamic: bool = False, lengths: bool = False, **options: Any) -> Case:
    def build() -> Any:
        both, hidden, gates = (2 if direction == "bidirectional" else 1), 3, {"lstm": 4, "gru": 3, "rnn": 1}[kind]
        batch = -1 if dynamic else 2
        x = p([batch, 5, 4])
        states = [p([batch, both, hidden], name=f"h{i}") for i in range(2 if kind == "lstm" else 1)]
        biases = 4 if options.get("linear_before_reset") else gates
        size = op.gather(op.shape_of(x), ints(0), c(0, np.int64))
        seq = op.broadcast(c(5, np.int32), size) if not lengths else c([5, 3], np.int32)
        return getattr(op, f"{kind}_sequence")(
            x,
            *states,
            seq,
            draw(both, gates * hidden, 4),
            draw(both, gates * hidden, hidden),
            draw(both, biases * hidden),
            hidden,
            direction,
            **options,
        )

    return build


def size_of_batch(more: int = 0) -> Any:
    """Return the size of the input's first axis, a vector of one."""
    x = _the_input[-1]
    return op.add(op.gather(op.shape_of(x), ints(0), c(0, np.int64)), ints(more))


def rounded(levels: int, low: float, high: float) -> Any:
    return op.fake_quantize(p(MAP), c(low), c(high), c(low), c(high), levels)


def packed(kind: str) -> Any:
    """Return weights `[4, 6]` stored in groups of two, with a scale and a zero point each."""
    values = _random.integers(1, 7, (2, 2, 6)).astype(np.float32)
    stored = op.constant(values, dtype=getattr(openvino.Type, kind))
    shifted = op.subtract(op.convert(stored, "f16"), c(np.full((2, 1, 6), 3), np.float16))
    scaled = op.multiply(shifted, c(_random.random((2, 1, 6)), np.float16))
    return op.convert(op.reshape(scaled, ints(4, 6), False), "f32")


def lstm_cell() -> Any:
    h, s = p([2, 3], name="h"), p([2, 3], name="s")
    return op.lstm_cell(p([2, 4]), h, s, draw(12, 4), draw(12, 3), draw(12), 3)


def attention(**options: Any) -> Case:
    return lambda: op.scaled_dot_product_attention(
        p([1, 2, 4, 8]), p([1, 2, 6, 8], name="k"), p([1, 2, 6, 8], name="v"), **options
    )


CASES: dict[str, Case] = {
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
    "conv explicit": conv("explicit", 2),
    "conv dilated": conv("explicit", 1, 2),
    "conv same_upper": conv("same_upper", 2, size=6),
    "conv same_lower": conv("same_lower", 2, size=6),
    "conv valid": conv("valid", 2),
    "conv 1-d": lambda: op.convolution(p([2, 3, 9]), draw(4, 3, 3), [1], [1], [1], [1]),
    "conv 3-d": lambda: op.convolution(p([1, 2, 4, 5, 6]), draw(3, 2, 2, 2, 2), [1] * 3, [0] * 3, [1] * 3, [1] * 3),
    "group conv": lambda: op.group_convolution(p(MAP), draw(2, 3, 2, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1]),
    "depthwise conv": lambda: op.group_convolution(p(MAP), draw(4, 1, 1, 3, 3), [2, 2], [0, 0], [1, 1], [1, 1]),
    "transposed": transposed(2, pads_begin=[1, 1], pads_end=[0, 1]),
    "transposed with more": transposed(2, output_padding=[1, 1]),
    "transposed same_upper": transposed(2, "same_upper", [10, 10]),
    "transposed same_lower": transposed(2, "same_lower", [10, 10]),
    "transposed to a size": transposed(2, "explicit", [12, 11]),
    "transposed groups": lambda: op.group_convolution_backprop_data(p(MAP), draw(2, 2, 3, 3, 3), [2, 2]),
    "max_pool": pool("max", [2, 2], [1, 0], [0, 1], [3, 3]),
    "max_pool ceil": pool("max", [2, 2], [0, 0], [0, 0], [2, 2], "ceil"),
    "max_pool ceil_torch": pool("max", [2, 2], [1, 1], [1, 1], [2, 2], "ceil_torch"),
    "max_pool same_upper": pool("max", [2, 2], [0, 0], [0, 0], [3, 3], "floor", "same_upper", size=6),
    "max_pool same_lower": pool("max", [2, 2], [0, 0], [0, 0], [3, 3], "floor", "same_lower", size=6),
    "max_pool valid": pool("max", [2, 2], [1, 1], [1, 1], [3, 3], "floor", "valid"),
    "max_pool places": lambda: op.max_pool(p([2, 3, 6, 6]), [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]),
    "max_pool opset1": lambda: op1.max_pool(p([2, 3, 6, 6]), [2, 2], [0, 0], [1, 1], [3, 3]),
    "avg_pool without padding": pool("avg", [2, 2], [1, 1], [1, 0], [3, 3], True),
    "avg_pool with padding": pool("avg", [2, 2], [1, 1], [1, 0], [3, 3], False),
    "avg_pool ceil without": pool("avg", [2, 2], [0, 0], [0, 0], [2, 2], True, "ceil"),
    "avg_pool ceil with none": pool("avg", [2, 2], [0, 0], [0, 0], [3, 3], False, "ceil", size=8),
    "avg_pool ceil with": pool("avg", [2, 2], [1, 1], [1, 1], [3, 3], False, "ceil", size=8),
    "avg_pool same_upper": pool("avg", [2, 2], [0, 0], [0, 0], [3, 3], True, "floor", "same_upper", size=6),
    "avg_pool same_lower": pool("avg", [2, 2], [0, 0], [0, 0], [3, 3], True, "floor", "same_lower", size=6),
    "adaptive to one": lambda: op.adaptive_avg_pool(p(MAP), ints(1, 1)),
    "adaptive to parts": lambda: op.adaptive_avg_pool(p(MAP), ints(3, 2)),
    "adaptive max": lambda: op.adaptive_max_pool(p(MAP), ints(2, 3), "i32").output(0),
    "reduce_logical_and": lambda: op.reduce_logical_and(p(MAP, bool), ints(1), True),
    "reduce_logical_or": lambda: op.reduce_logical_or(p(MAP, bool), ints(1, 2), False),
    "cum_sum": lambda: op.cum_sum(p(MAP), c(2, np.int64), True, True),
    "topk max": lambda: op.topk(p(MAP), c(3, np.int64), 1, "max", "value"),
    "topk min": lambda: op.topk(p(MAP), c(2, np.int64), -1, "min", "value", "i64"),
    "matmul": lambda: op.matmul(p([2, 3, 4]), p([2, 4, 5], name="y"), False, False),
    "matmul both turned": lambda: op.matmul(p([2, 4, 3]), p([5, 4], name="y"), True, True),
    "matmul constant turned": lambda: op.matmul(p([3, 4]), draw(5, 4), False, True),
    "matmul vector": lambda: op.matmul(p([3, 4]), p([4], name="y"), False, True),
    "einsum": lambda: op.einsum([p([2, 3, 4]), p([2, 5, 4], name="y")], "bik,bjk->bij"),
    "attention": attention(),
    "attention causal": attention(causal=True),
    "attention masked": attention(attention_mask=c(np.where(_random.random((4, 6)) < 0.3, -1e4, 0))),
    "attention bool mask": attention(attention_mask=c(np.eye(4, 6) + np.eye(4, 6, 1) > 0, bool)),
    "attention scaled": attention(attention_mask=c(0), scale=c(0.1)),
    "batch norm": lambda: op.batch_norm_inference(p(MAP), draw(4), draw(4), draw(4), positive(draw(4)), 1e-3),
    "batch norm opset1": lambda: op1.batch_norm_inference(p(MAP), draw(4), draw(4), draw(4), positive(draw(4)), 1e-3),
    "mvn": lambda: op.mvn(p([2, 5, 8]), ints(-1), True, 1e-3, "inside_sqrt"),
    "mvn outside": lambda: op.mvn(p(MAP), ints(2, 3), True, 1e-3, "outside_sqrt"),
    "mvn mean only": lambda: op.mvn(p(MAP), ints(2, 3), False, 1e-3, "inside_sqrt"),
    "normalize_l2": lambda: op.normalize_l2(p(MAP), ints(1), 1e-2, "add"),
    "normalize_l2 max": lambda: op.normalize_l2(p(MAP), ints(1, 2), 1e-2, "max"),
    "group norm": lambda: op.group_normalization(p(MAP), draw(4), draw(4), 2, 1e-3),
    "lrn": lambda: op.lrn(p([1, 6, 3, 3]), ints(1), 0.2, 0.7, 1.0, 3),
    "reshape": lambda: op.reshape(p(MAP), ints(0, -1, 12), True),
    "reshape literal": lambda: op.reshape(p(MAP), ints(8, 36), False),
    "squeeze": lambda: op.squeeze(p([2, 1, 3, 1]), ints(1, 3)),
    "squeeze all": lambda: op.squeeze(p([2, 1, 3, 1])),
    "squeeze if single": lambda: op.squeeze(p([2, 1, 3, 1]), ints(0, 1), True),
    "unsqueeze": lambda: op.unsqueeze(p([2, 3]), ints(0, -1)),
    "transpose": lambda: op.transpose(p(MAP), ints(0, 2, 3, 1)),
    "transpose reversed": lambda: op.transpose(p(MAP), c([], np.int64)),
    "concat": lambda: op.concat([p(MAP), p([2, 1, 6, 6], name="y"), draw(2, 2, 6, 6)], 1),
    "split": lambda: op.split(p(MAP), c(1, np.int64), 2),
    "variadic_split": lambda: op.variadic_split(p(MAP), c(3, np.int64), ints(1, -1, 2)),
    "tile": lambda: op.tile(p([2, 3]), ints(2, 1, 3)),
    "tile short": lambda: op.tile(p([2, 3, 2]), ints(2)),
    "broadcast": lambda: op.broadcast(p([3, 1]), ints(2, 3, 4)),
    "broadcast explicit": lambda: op.broadcast(p([3]), ints(2, 3, 4), ints(1), "explicit"),
    "broadcast both ways": lambda: op.broadcast(p([3, 4]), ints(2, 3, 1), broadcast_spec="bidirectional"),
    "range": lambda: op.add(p([4]), op.range(c(0, np.int64), c(4, np.int64), c(1, np.int64), "f32")),
    "depth_to_space blocks": lambda: op.depth_to_space(p([1, 8, 3, 3]), "blocks_first", 2),
    "depth_to_space depth": lambda: op.depth_to_space(p([1, 8, 3, 3]), "depth_first", 2),
    "space_to_depth blocks": lambda: op.space_to_depth(p([2, 3, 4, 6]), "blocks_first", 2),
    "space_to_batch": lambda: op.space_to_batch(p([2, 3, 5, 6]), ints(1, 1, 2, 3), ints(0, 0, 1, 0), ints(0, 0, 0, 3)),
    "batch_to_space": lambda: op.batch_to_space(p([12, 2, 3, 4]), ints(1, 1, 2, 3), ints(0, 0, 1, 2), ints(0, 0, 0, 1)),
    "space_to_depth depth": lambda: op.space_to_depth(p([2, 3, 4, 6]), "depth_first", 2),
    "shuffle_channels": lambda: op.shuffle_channels(p([2, 6, 3, 3]), 1, 2),
    "slice": lambda: op.slice(p(MAP), ints(1, -1), ints(4, -6), ints(2, -2), ints(1, 3)),
    "slice without axes": lambda: op.slice(p(MAP), ints(0, 1), ints(2, 3), ints(1, 1)),
    "strided_slice": strided([0, 1, 0, 0], [2, 3, 6, 5], [1, 1, 2, 1]),
    "strided_slice masks": strided([1, 1, 1], [1, 3, 2], [1, 2, 1], begin_mask=[1, 0, 0], end_mask=[1, 0, 1]),
    "strided_slice back": strided([0, 0], [0, 0], [1, -1], begin_mask=[1, 1], end_mask=[1, 1]),
    "strided_slice shrink": strided(
        [0, -1, 2], [0, 0, 0], [1, 1, 1], begin_mask=[1, 0, 0], end_mask=[1, 0, 0], shrink_axis_mask=[0, 1, 1]
    ),
    "strided_slice new": strided(
        [0, 0, 1], [0, 0, 3], [1, 1, 1], begin_mask=[1, 1, 0], end_mask=[1, 1, 0], new_axis_mask=[0, 1, 0]
    ),
    "strided_slice ellipsis": strided([1, 0, 1], [2, 0, 4], [1, 1, 1], ellipsis_mask=[0, 1, 0]),
    "pad constant": lambda: op.pad(p(MAP), ints(0, 0, 1, 2), ints(0, 0, 2, 1), "constant", c(1.5)),
    "pad negative": lambda: op.pad(p(MAP), ints(0, 0, -1, 0), ints(0, 0, 0, -2), "constant"),
    "pad edge": lambda: op.pad(p(MAP), ints(0, 0, 1, 2), ints(0, 0, 2, 1), "edge"),
    "pad reflect": lambda: op.pad(p(MAP), ints(0, 0, 1, 2), ints(0, 0, 2, 1), "reflect"),
    "reverse": lambda: make("opset1", "Reverse", p(MAP), ints(1, 3), mode="index"),
    "roll": lambda: op.roll(p(MAP), ints(1, -2), ints(1, 3)),
    "reverse_sequence": lambda: op.reverse_sequence(p([2, 4, 3]), c([3, 2], np.int32), 0, 1),
    "gather": lambda: op.gather(p(MAP), c([[0, 3], [-1, 1]], np.int32), c(1, np.int64)),
    "gather scalar": lambda: op.gather(p(MAP), c(2, np.int64), c(-1, np.int64)),
    "gather batch": lambda: op.gather(p([2, 4, 3]), c([[0, 3], [2, 1]], np.int32), c(1, np.int64), 1),
    "gather_elements": lambda: op.gather_elements(p([2, 3]), c([[0, 1, 1], [1, 0, 0]], np.int32), 0),
    "gather_nd": lambda: op.gather_nd(p([2, 3, 4]), c([[0, 1], [1, 2]], np.int32)),
    "gather_nd batch": lambda: op8.gather_nd(p([2, 3, 4]), c([[1], [2]], np.int32), 1),
    "scatter_update": lambda: op.scatter_update(p([3, 4, 5]), ints(2, 0), draw(3, 2, 5), c(1, np.int64)),
    "scatter_nd_update": lambda: op.scatter_nd_update(p([3, 4]), c([[0, 1], [2, 3]], np.int32), c([5.0, 6.0])),
    "scatter_elements_update": lambda: op.scatter_elements_update(
        p([3, 4]), c([[0, 1]], np.int32), c([[5.0, 6.0]]), c(1, np.int64)
    ),
    "one_hot": lambda: op.one_hot(
        c([0, 2, -1, 5], np.int64), c(3, np.int64), op.reduce_sum(p([3]), ints(0)), c(0.5), -1
    ),
    "one_hot of input": lambda: op.one_hot(p([5], np.int64), c(3, np.int64), c(2.0), c(0.5), 0),
    "non_zero": lambda: op.non_zero(op.relu(p([3, 4]))),
    "interpolate nearest": interpolate("nearest", "asymmetric", (12, 12), nearest_mode="floor"),
    "interpolate nearest down": interpolate("nearest", "half_pixel", (3, 4), nearest_mode="round_prefer_ceil"),
    "interpolate nearest simple": interpolate("nearest", "asymmetric", (12, 9), nearest_mode="simple"),
    "interpolate linear": interpolate("linear_onnx", "half_pixel", (12, 9)),
    "interpolate corners": interpolate("linear_onnx", "align_corners", (11, 9)),
    "interpolate down": interpolate("linear_onnx", "pytorch_half_pixel", (3, 4)),
    "interpolate cubic": interpolate("cubic", "half_pixel", (12, 9), cube_coeff=-0.6),
    "interpolate scales": lambda: op.interpolate(p(MAP), c([2.0, 1.5]), "linear_onnx", "scales", axes=ints(2, 3)),
    "interpolate opset4": lambda: interpolate4("sizes", 12, 9),
    "interpolate opset4 scales": lambda: interpolate4("scales", 1, 1),
    **{
        f"{kind} {direction}": sequence(kind, direction)
        for kind in ("lstm", "gru", "rnn")
        for direction in ("forward", "reverse", "bidirectional")
    },
    "gru linear_before_reset": sequence("gru", "bidirectional", linear_before_reset=True),
    "lstm of free batch": sequence("lstm", "forward", dynamic=True),
    "lstm of given lengths": sequence("lstm", "forward", lengths=True),
    "rnn relu": sequence("rnn", "forward", activations=["relu"]),
    **{
        f"bitwise_{name}": (lambda name=name: getattr(op, f"bitwise_{name}")(p([9], np.int32), c([5] * 9, np.int32)))
        for name in ("and", "or", "xor")
    },
    "bitwise_not": lambda: op.bitwise_not(p([9], np.int32)),
    "identity": lambda: op.relu(op.identity(p(MAP))),
    "input passed on": lambda: p(MAP),
    "same value twice": lambda: op.concat([p(MAP)] * 2, 0),
    "shape_of": lambda: op.shape_of(p([-1, 3]), "i32"),
    "reshape by shape": lambda: op.reshape(p([-1, 6]), op.concat([size_of_batch(), ints(2, 3)], 0), False),
    "strided_slice at run time": lambda: op.strided_slice(
        p([-1, 6]), size_of_batch(-2), ints(9), ints(1), [0], [1], [], [], []
    ),
    "strided_slice of one at run time": lambda: op.strided_slice(
        p([-1, 6]), size_of_batch(-1), ints(0), ints(1), [0], [0], [], [1], []
    ),
    "slice at run time": lambda: op.slice(p([-1, 6]), size_of_batch(-1), ints(9), ints(1), ints(0)),
    "pad at run time": lambda: op.pad(p([-1]), size_of_batch(-2), size_of_batch(), "constant"),
    "broadcast at run time": lambda: op.broadcast(draw(1, 4), op.concat([size_of_batch(), ints(4)], 0)),
    "variadic_split of free axis": lambda: op.variadic_split(p([2, -1]), c(1, np.int64), ints(1, -1, 1)),
    "split of free axis": lambda: op.split(p([2, -1]), c(1, np.int64), 3),
    "same pads of free size": lambda: op.convolution(
        p([1, 3, -1, -1]), draw(4, 3, 3, 3), [2, 2], [0, 0], [0, 0], [1, 1], "same_upper"
    ),
    "max_pool ceil of free size": lambda: op.max_pool(
        p([1, 3, -1, -1]), [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "ceil"
    ).output(0),
    "interpolate of free size": lambda: op.interpolate(
        p([1, 2, -1, -1]),
        c([2.0, 2.0]),
        "nearest",
        "scales",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=ints(2, 3),
    ),
    "matmul of free size": lambda: op.matmul(p([-1, 4, 3]), p([-1, 4, 5], name="y"), True, False),
    "range at run time": lambda: op.range(c(0, np.int32), op.squeeze(size_of_batch()), c(1, np.int32), "i32"),
    "fake_quantize unsigned": lambda: rounded(256, 0.0, 2.55),
    "fake_quantize signed": lambda: rounded(255, -1.27, 1.27),
    "fake_quantize shifted": lambda: rounded(256, -0.7, 1.9),
    "fake_quantize few levels": lambda: rounded(4, -1.0, 2.0),
    "fake_quantize channels": lambda: op.fake_quantize(p(MAP), *(c(_per_channel + n) for n in (0, 4, -1, 6)), 256),
    **{
        f"weights of {kind}": (lambda kind=kind: op.matmul(p([3, 4]), packed(kind), False, False))
        for kind in ("f16", "bf16", "i8", "u8", "i4", "u4", "nf4", "f8e4m3")
    },
    "half precision throughout": lambda: op.convert(
        op.relu(op.add(op.convert(p(MAP), "f16"), c(0.5, np.float16))), "f32"
    ),
    "lstm_cell": lstm_cell,
    "gru_cell": lambda: op.gru_cell(p([2, 4]), p([2, 3], name="h"), draw(9, 4), draw(9, 3), draw(9), 3),
    "rnn_cell": lambda: op.rnn_cell(
        p([2, 4]), p([2, 3], name="h"), draw(3, 4), draw(3, 3), draw(3), 3, ["tanh"], [], []
    ),
}


def model_of(built: Any) -> Any:
    """Return the model whose outputs are all outputs of what a case built; its parameters are found by walking up."""
    node = built.get_node() if hasattr(built, "get_node") else built
    outputs = [built] if hasattr(built, "get_node") else list(built.outputs())
    parameters: dict[str, Any] = {}
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.get_type_name() == "Parameter":
            parameters[each.get_friendly_name()] = each
        waiting.extend(each.input_value(i).get_node() for i in range(each.get_input_size()))
    results = [op.result(output) for output in outputs]
    return openvino.Model(results, [parameters[name] for name in sorted(parameters)], "case")


def draw_for(model: Any) -> list[Any]:
    random = np.random.default_rng(3)
    arrays = []
    for port in model.inputs:
        shape = [3 if dim.is_dynamic else dim.get_length() for dim in port.get_partial_shape()]
        dtype = np.dtype(port.get_element_type().to_dtype())
        values = random.integers(0, 2, shape) if dtype == np.bool_ else random.normal(size=shape) * 3
        if dtype == np.int64:
            values = random.integers(-2, 4, shape)
        arrays.append((random.integers(0, 255, shape) if dtype == np.uint8 else values).astype(dtype))
    return arrays


@pytest.mark.parametrize("name", CASES)
def test_operation_answers_as_openvino_does(name: str) -> None:
    model = model_of(CASES[name]())
    arrays = draw_for(model)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = compiled(arrays)
    found = read_graph(model, where=name)
    assert [each.name for each in found.inputs] == [port.get_node().get_friendly_name() for port in model.inputs]
    runner = GraphRunner(prepare_graph(found.proto))
    answers = runner.run(dict(zip((each.name for each in found.inputs), arrays, strict=True)))
    reference = {each.name: expected[i] for i, each in enumerate(found.outputs)}
    for key, array in reference.items():
        assert (answers[key].dtype, answers[key].shape) == (array.dtype, array.shape)
    require_parity(reference, answers, what=name, max_rel=MAX_REL, min_cosine=MIN_COSINE)


def test_every_operation_of_the_table_has_a_case() -> None:
    built = {node.get_type_name() for name in CASES for node in model_of(CASES[name]()).get_ops()}
    elsewhere = {"Assign", "ReadValue"}  # refused: see the tests of the source
    elsewhere |= {"If", "Loop", "TensorIterator"}  # see the tests of loops
    assert set(READERS) - built == elsewhere
