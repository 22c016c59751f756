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
    recurrent,
    transpose_conv,
)
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext
from edgeai_converters.emit.tflite.write_context import WriteContext

Write = Callable[[WriteContext, ir.Node], None]
Read = Callable[[ReadContext, Operator], None]

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

READERS: dict[str, Read] = {
    # convolutions
    "CONV_2D": conv.read_conv,
    "DEPTHWISE_CONV_2D": conv.read_depthwise_conv,
    "TRANSPOSE_CONV": transpose_conv.read_transpose_conv,
    # dense layers
    "BATCH_MATMUL": dense.read_batch_matmul,
    "FULLY_CONNECTED": dense.read_fully_connected,
    # pooling
    "AVERAGE_POOL_2D": pool.read_pool,
    "MAX_POOL_2D": pool.read_pool,
    # arithmetic
    "ADD": elementwise.read_binary,
    "DIV": elementwise.read_binary,
    "MAXIMUM": elementwise.read_binary,
    "MINIMUM": elementwise.read_binary,
    "MUL": elementwise.read_binary,
    "POW": elementwise.read_binary,
    "SQUARE": elementwise.read_square,
    "SQUARED_DIFFERENCE": elementwise.read_squared_difference,
    "SUB": elementwise.read_binary,
    # activations
    "ABS": activation.read_unary,
    "CEIL": activation.read_unary,
    "COS": activation.read_unary,
    "ELU": activation.read_unary,
    "EXP": activation.read_unary,
    "FLOOR": activation.read_unary,
    "GELU": activation.read_gelu,
    "HARD_SWISH": activation.read_unary,
    "LEAKY_RELU": activation.read_leaky_relu,
    "LOG": activation.read_unary,
    "LOGISTIC": activation.read_unary,
    "LOG_SOFTMAX": activation.read_unary,
    "NEG": activation.read_unary,
    "PRELU": activation.read_prelu,
    "RELU": activation.read_unary,
    "RELU6": activation.read_clip,
    "RELU_0_TO_1": activation.read_clip,
    "RELU_N1_TO_1": activation.read_clip,
    "ROUND": activation.read_unary,
    "RSQRT": activation.read_rsqrt,
    # recurrent layers; most are unrolled before (see lowering.py)
    "GRU": recurrent.write_recurrent,
    "LSTM": recurrent.write_recurrent,
    "RNN": recurrent.write_recurrent,
    "SIN": activation.read_unary,
    "SOFTMAX": activation.read_softmax,
    "SQRT": activation.read_unary,
    "TANH": activation.read_unary,
    # reductions
    "MEAN": reduce.read_reduce,
    "REDUCE_MAX": reduce.read_reduce,
    "REDUCE_MIN": reduce.read_reduce,
    "SUM": reduce.read_reduce,
    # shapes
    "EXPAND_DIMS": shape.read_reshape,
    "RESHAPE": shape.read_reshape,
    "SHAPE": shape.read_shape,
    "SQUEEZE": shape.read_reshape,
    "TRANSPOSE": shape.read_transpose,
    # parts
    "CONCATENATION": joining.read_concatenation,
    "GATHER": slicing.read_gather,
    "MIRROR_PAD": joining.read_pad,
    "PACK": joining.read_pack,
    "PAD": joining.read_pad,
    "PADV2": joining.read_pad,
    "SLICE": slicing.read_slice,
    "SPLIT": slicing.read_split,
    "SPLIT_V": slicing.read_split,
    "STRIDED_SLICE": slicing.read_strided_slice,
    # sizes of maps
    "DEPTH_TO_SPACE": resize.read_depth_to_space,
    "RESIZE_BILINEAR": resize.read_resize,
    "RESIZE_NEAREST_NEIGHBOR": resize.read_resize,
    "SPACE_TO_DEPTH": resize.read_depth_to_space,
    # storage
    "CAST": storage.read_cast,
    "DEQUANTIZE": storage.read_storage,
    "QUANTIZE": storage.read_storage,
}
"""TFLite operator → the function that reads it."""
