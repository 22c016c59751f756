"""Layers: convolutions, pooling, products, attention, normalizations, resizing, recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.integration.source_openvino_ops.building import MAP, Case, c, draw, ints, make, op, p, positive, random

op1 = pytest.importorskip("openvino.opset1")
op14 = pytest.importorskip("openvino.opset14")


def interpolate4(mode: str, *sizes: int) -> Any:
    attributes = {"mode": "linear_onnx", "shape_calculation_mode": mode, "coordinate_transformation_mode": "half_pixel"}
    return make("opset4", "Interpolate", p(MAP), ints(*sizes), c([2.0, 1.5]), ints(2, 3), **attributes)


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


def lstm_cell() -> Any:
    h, s = p([2, 3], name="h"), p([2, 3], name="s")
    return op.lstm_cell(p([2, 4]), h, s, draw(12, 4), draw(12, 3), draw(12), 3)


def attention(**options: Any) -> Case:
    return lambda: op.scaled_dot_product_attention(
        p([1, 2, 4, 8]), p([1, 2, 6, 8], name="k"), p([1, 2, 6, 8], name="v"), **options
    )


LAYERS: dict[str, Case] = {
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
    "matmul": lambda: op.matmul(p([2, 3, 4]), p([2, 4, 5], name="y"), False, False),
    "matmul both turned": lambda: op.matmul(p([2, 4, 3]), p([5, 4], name="y"), True, True),
    "matmul constant turned": lambda: op.matmul(p([3, 4]), draw(5, 4), False, True),
    "matmul vector": lambda: op.matmul(p([3, 4]), p([4], name="y"), False, True),
    "einsum": lambda: op.einsum([p([2, 3, 4]), p([2, 5, 4], name="y")], "bik,bjk->bij"),
    "attention": attention(),
    "attention causal": attention(causal=True),
    "attention masked": attention(attention_mask=c(np.where(random.random((4, 6)) < 0.3, -1e4, 0))),
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
    "lstm_cell": lstm_cell,
    "gru_cell": lambda: op.gru_cell(p([2, 4]), p([2, 3], name="h"), draw(9, 4), draw(9, 3), draw(9), 3),
    "rnn_cell": lambda: op.rnn_cell(
        p([2, 4]), p([2, 3], name="h"), draw(3, 4), draw(3, 3), draw(3), 3, ["tanh"], [], []
    ),
}
