"""The op table: which function writes an ONNX operator into TFLite, and which reads a TFLite operator into ONNX.

One file per family of operators holds both directions. What is not in the table is not supported.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from edgeai_converters.emit.tflite import (
    activation,
    conv,
    dense,
    elementwise,
    joining,
    pool,
    reduce,
    resize,
    shape,
    slicing,
    storage,
    transpose_conv,
)
from edgeai_converters.emit.tflite.write_context import WriteContext

Write = Callable[[WriteContext, ir.Node], None]

WRITERS: dict[str, Write] = {
    # convolutions
    "Conv": conv.write_conv,
    "ConvTranspose": transpose_conv.write_conv_transpose,
    # dense layers
    "Gemm": dense.write_gemm,
    "MatMul": dense.write_matmul,
    # pooling
    "AveragePool": pool.write_average_pool,
    "GlobalAveragePool": pool.write_global_average_pool,
    "GlobalMaxPool": pool.write_global_max_pool,
    "MaxPool": pool.write_max_pool,
    # arithmetic
    "Add": elementwise.write_binary,
    "BatchNormalization": elementwise.write_batch_normalization,
    "Div": elementwise.write_binary,
    "Max": elementwise.write_extremum,
    "Min": elementwise.write_extremum,
    "Mul": elementwise.write_binary,
    "Pow": elementwise.write_power,
    "Sub": elementwise.write_binary,
    # activations
    "Abs": activation.write_unary,
    "Ceil": activation.write_unary,
    "Clip": activation.write_clip,
    "Cos": activation.write_unary,
    "Elu": activation.write_unary,
    "Exp": activation.write_unary,
    "Floor": activation.write_unary,
    "Gelu": activation.write_unary,
    "HardSigmoid": activation.write_hard_sigmoid,
    "HardSwish": activation.write_unary,
    "LeakyRelu": activation.write_unary,
    "Log": activation.write_unary,
    "Neg": activation.write_unary,
    "PRelu": activation.write_prelu,
    "Reciprocal": activation.write_reciprocal,
    "Relu": activation.write_clip,
    "Round": activation.write_unary,
    "Sigmoid": activation.write_unary,
    "Sin": activation.write_unary,
    "Softmax": activation.write_softmax,
    "Sqrt": activation.write_unary,
    "Tanh": activation.write_unary,
    # reductions
    "ReduceMax": reduce.write_reduce,
    "ReduceMean": reduce.write_reduce,
    "ReduceMin": reduce.write_reduce,
    "ReduceSum": reduce.write_reduce,
    # shapes
    "Flatten": shape.write_reshape,
    "Reshape": shape.write_reshape,
    "Squeeze": shape.write_reshape,
    "Transpose": shape.write_transpose,
    "Unsqueeze": shape.write_reshape,
    # parts
    "Concat": joining.write_concat,
    "Gather": slicing.write_gather,
    "Pad": joining.write_pad,
    "Slice": slicing.write_slice,
    "Split": slicing.write_split,
    # sizes of maps
    "DepthToSpace": resize.write_depth_to_space,
    "Resize": resize.write_resize,
    "SpaceToDepth": resize.write_space_to_depth,
    # storage
    "Cast": storage.write_cast,
    "DequantizeLinear": storage.write_dequantize,
    "Dropout": storage.write_identity,
    "Identity": storage.write_identity,
    "QuantizeLinear": storage.write_quantize,
}
"""ONNX operator → the function that writes it."""
