"""The op table of the trainable twin: which function computes an ONNX operator of the default domain.

One file per family of operators. What is not in the table is not supported.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeai_converters.train.ops import (
    activation,
    arithmetic,
    convolution,
    dense,
    filling,
    joining,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
    shape,
    sizes,
    storage,
)
from edgeai_converters.train.ops.view import NodeView, Run

OPERATORS: dict[str, Callable[[NodeView], Run]] = {
    # layers
    "Conv": convolution.conv,
    "ConvTranspose": convolution.conv_transpose,
    "Gemm": dense.gemm,
    "MatMul": dense.matmul,
    "GRU": recurrent.gru,
    "LSTM": recurrent.lstm,
    "RNN": recurrent.rnn,
    # pooling
    "AveragePool": pooling.average_pool,
    "GlobalAveragePool": pooling.global_average_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "MaxPool": pooling.max_pool,
    # normalization
    "BatchNormalization": normalization.batch_normalization,
    "GroupNormalization": normalization.group_normalization,
    "InstanceNormalization": normalization.instance_normalization,
    "LayerNormalization": normalization.layer_normalization,
    "LpNormalization": normalization.lp_normalization,
    "RMSNormalization": normalization.rms_normalization,
    # arithmetic
    "Abs": arithmetic.unary("abs"),
    "Add": arithmetic.binary("add"),
    "Ceil": arithmetic.unary("ceil"),
    "Cos": arithmetic.unary("cos"),
    "Div": arithmetic.divide,
    "Erf": arithmetic.unary("erf"),
    "Exp": arithmetic.unary("exp"),
    "Floor": arithmetic.unary("floor"),
    "Log": arithmetic.unary("log"),
    "Max": arithmetic.several("maximum"),
    "Mean": arithmetic.mean,
    "Min": arithmetic.several("minimum"),
    "Mod": arithmetic.modulo,
    "Mul": arithmetic.binary("mul"),
    "Neg": arithmetic.unary("neg"),
    "Pow": arithmetic.power,
    "Reciprocal": arithmetic.unary("reciprocal"),
    "Round": arithmetic.unary("round"),
    "Sign": arithmetic.unary("sign"),
    "Sin": arithmetic.unary("sin"),
    "Sqrt": arithmetic.unary("sqrt"),
    "Sub": arithmetic.binary("sub"),
    "Sum": arithmetic.several("add"),
    "Tan": arithmetic.unary("tan"),
    # comparison and logic
    "And": arithmetic.binary("logical_and"),
    "Equal": arithmetic.binary("eq"),
    "Greater": arithmetic.binary("gt"),
    "GreaterOrEqual": arithmetic.binary("ge"),
    "IsNaN": arithmetic.unary("isnan"),
    "Less": arithmetic.binary("lt"),
    "LessOrEqual": arithmetic.binary("le"),
    "Not": arithmetic.unary("logical_not"),
    "Or": arithmetic.binary("logical_or"),
    "Where": arithmetic.where,
    "Xor": arithmetic.binary("logical_xor"),
    # activations
    "Celu": activation.celu,
    "Clip": activation.clip,
    "Elu": activation.elu,
    "Gelu": activation.gelu,
    "HardSigmoid": activation.hard_sigmoid,
    "HardSwish": activation.hard_swish,
    "LeakyRelu": activation.leaky_relu,
    "LogSoftmax": activation.log_softmax,
    "Mish": activation.mish,
    "PRelu": activation.prelu,
    "Relu": activation.relu,
    "Selu": activation.selu,
    "Sigmoid": arithmetic.unary("sigmoid"),
    "Softmax": activation.softmax,
    "Softplus": activation.softplus,
    "Softsign": activation.softsign,
    "Swish": activation.swish,
    "Tanh": arithmetic.unary("tanh"),
    "ThresholdedRelu": activation.thresholded_relu,
    # reductions
    "ArgMax": reduction.extremum_place("argmax"),
    "ArgMin": reduction.extremum_place("argmin"),
    "CumSum": reduction.cumulative_sum,
    "ReduceL1": reduction.reduction,
    "ReduceL2": reduction.reduction,
    "ReduceLogSum": reduction.reduction,
    "ReduceLogSumExp": reduction.reduction,
    "ReduceMax": reduction.reduction,
    "ReduceMean": reduction.reduction,
    "ReduceMin": reduction.reduction,
    "ReduceProd": reduction.reduction,
    "ReduceSum": reduction.reduction,
    "ReduceSumSquare": reduction.reduction,
    # shapes
    "Dropout": shape.identity,
    "Expand": shape.expand,
    "Flatten": shape.flatten,
    "Identity": shape.identity,
    "Reshape": shape.reshape,
    "Shape": sizes.shape,
    "Size": sizes.size,
    "Squeeze": shape.squeeze,
    "Tile": shape.tile,
    "Transpose": shape.transpose,
    "Unsqueeze": shape.unsqueeze,
    # joining, cutting, picking
    "Concat": joining.concat,
    "DepthToSpace": joining.depth_to_space,
    "Gather": joining.gather,
    "Pad": joining.pad,
    "Slice": joining.slice_,
    "SpaceToDepth": joining.space_to_depth,
    "Split": joining.split,
    "Trilu": joining.trilu,
    # making values, and their types
    "Cast": filling.cast,
    "ConstantOfShape": filling.constant_of_shape,
    "OneHot": filling.one_hot,
    "Range": filling.range_,
    "Resize": resize.resize,
    "DequantizeLinear": storage.dequantize_linear,
    "QuantizeLinear": storage.quantize_linear,
}
"""Operator → function from its node's view to what runs."""

HOUSE_DOMAIN = "edgeai.train"
"""The domain of operators that only twins have."""

HOUSE_OPERATORS: dict[str, Callable[[NodeView], Run]] = {
    "NormalizeBatch": normalization.normalize_batch,
    "RoundWeight": storage.round_weight,
}
"""Operators of that domain."""
