"""Rounding behind what only moves numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from edgeai_converters.quantize.round_after_moves import round_after_moves
from edgeai_converters.quantize.stored_values import read_parameters


def graph(body: str) -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 18]> g (float[1,4,2] x) => (float[1,2,4] y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    arrays = {"s": np.float32(0.5), "z": np.int8(3), "w": np.ones((1, 4, 2), np.int8)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


ROUNDED = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)"


def test_a_layer_behind_a_transpose_reads_dequantized_integers_of_the_same_scale() -> None:
    given = graph(f"{ROUNDED} t = Transpose <perm = [0, 2, 1]> (d) y = Relu(t)")
    model, changed = round_after_moves(given)
    assert changed
    pair = ["QuantizeLinear", "DequantizeLinear"]
    assert operators(model) == [*pair, "Transpose", *pair, "Relu"]
    first, second = (read_parameters(node) for node in model.graph if node.op_type == "DequantizeLinear")
    assert first == second
    assert operators(given) == [*pair, "Transpose", "Relu"]


def test_moves_in_a_row_are_followed_and_what_is_rounded_already_stays() -> None:
    twice = graph(f"{ROUNDED} i = Identity(d) t = Transpose <perm = [0, 2, 1]> (i) y = Relu(t)")
    assert operators(round_after_moves(twice)[0]).count("QuantizeLinear") == 3
    again, changed = round_after_moves(round_after_moves(twice)[0])
    assert not changed
    assert operators(again).count("QuantizeLinear") == 3


def test_stored_constants_and_outputs_are_left_alone() -> None:
    constant = graph("d = DequantizeLinear(w, s, z) t = Transpose <perm = [0, 2, 1]> (d) y = Relu(t)")
    assert not round_after_moves(constant)[1]
    assert not round_after_moves(graph(f"{ROUNDED} y = Transpose <perm = [0, 2, 1]> (d)"))[1]
