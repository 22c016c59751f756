"""The pass that stores weights as int8, one scale per output channel, and leaves activations in float.

    w (float32) ── Conv     →     w (int8) ── DequantizeLinear ── Conv

How it is computed is the engine's business: LiteRT quantizes the activations of these layers on the fly (hybrid
kernels), but of grouped convolutions, which are written with DEQUANTIZE, it expands the weights when it loads the
model. So do ONNX Runtime and OpenVINO, but for large dense layers.
Tables that are only gathered from (embeddings) are int8 too, see `gathered_tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgeai_converters.quantize.affine import weight_quantization
from edgeai_converters.quantize.gathered_tables import store_tables
from edgeai_converters.quantize.qdq_nodes import QdqWriter
from edgeai_runtime.manifest import Format

LEAST_ELEMENTS = 1024
"""Smaller weights stay float32, as TensorFlow's converter does: little is saved and each costs a conversion."""


LEAST_GROUPED_ELEMENTS = 512
"""The same for grouped convolutions in TFLite, where DEQUANTIZE costs little of the file (measured on a small keyword
network: 9 % less than with float weights, at the same speed; hybrid depthwise kernels are slower than float ones)."""


@dataclass(frozen=True, kw_only=True)
class _Weight:
    """Where an operator keeps a weight.

    Attributes:
        index: which input.
        axis: its output channel axis; negative counts from the end.
    """

    index: int
    axis: int


_DENSE: Mapping[str, tuple[_Weight, ...]] = {
    "Conv": (_Weight(index=1, axis=0),),
    "MatMul": (_Weight(index=1, axis=-1),),
    "Gemm": (_Weight(index=1, axis=1),),
}
_RECURRENT: Mapping[str, tuple[_Weight, ...]] = dict.fromkeys(
    ("GRU", "LSTM", "RNN"), (_Weight(index=1, axis=1), _Weight(index=2, axis=1))
)
_WEIGHTS: Mapping[Format, Mapping[str, tuple[_Weight, ...]]] = {
    "tflite": {**_DENSE, **_RECURRENT},
    "onnx": {**_DENSE, **_RECURRENT, "ConvTranspose": (_Weight(index=1, axis=1),)},
    "openvino": {**_DENSE, **_RECURRENT, "ConvTranspose": (_Weight(index=1, axis=1),)},
}
"""Format → operator → weights worth storing as int8. LiteRT has hybrid kernels for convolutions and dense layers;
recurrent layers become dense ones there, or the LSTM kernel, which is hybrid too."""


def store_int8_weights(model: ir.Model, *, format: Format) -> tuple[ir.Model, bool]:
    """Return a copy of the graph whose large weights are stored as int8, and whether any was.

    Args:
        model: the float graph; not changed.
        format: the format it will be emitted in.
    """
    model = model.clone()
    stores_tables = store_tables(model, format=format)
    writer = QdqWriter(model.graph)
    axes: dict[str, int] = {}
    for node in list(model.graph):
        for weight in _WEIGHTS[format].get(node.op_type, ()):
            value = node.inputs[weight.index] if weight.index < len(node.inputs) else None
            if value is None or not _is_worth_it(node, value, format):
                continue
            assert value.const_value is not None
            array = value.const_value.numpy()
            axis = 0 if node.op_type == "Gemm" and _is_transposed(node) else weight.axis % array.ndim
            if axes.setdefault(str(value.name), axis) != axis:
                continue
            quantization = weight_quantization(array, axis=axis)
            stored = writer.stored_constant(value, str(value.name), quantization, before=node)
            node.replace_input_with(weight.index, stored)
    writer.drop_unused()
    return model, stores_tables or bool(axes)


def _is_worth_it(node: ir.Node, value: ir.Value, format: Format) -> bool:
    tensor = value.const_value
    group = node.attributes.get("group")
    grouped = format == "tflite" and group is not None and group.as_int() != 1
    least = LEAST_GROUPED_ELEMENTS if grouped else LEAST_ELEMENTS
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < least:
        return False
    return not (format == "tflite" and node.op_type == "MatMul" and len(tensor.shape) != 2)


def _is_transposed(node: ir.Node) -> bool:
    attribute = node.attributes.get("transB")
    return attribute is not None and attribute.as_int() == 1
