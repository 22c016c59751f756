"""FakeQuantize: rounding that a quantized model carries, kept to check the reader, and taken out for the float graph.

    x → FakeQuantize → y     becomes     x (→ Relu or Clamp) (→ · scale + shift) → y

A quantizer may have taken out a ReLU, which then lives in the lowest value of the range; it is put back wherever the
range begins at zero and nothing else says that the value is not negative. Other clipping at the ends of a range is
part of the rounding and goes with it. Rounding stays where the model is made for it: to fewer than 16 levels, and
where the value becomes integers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST_LEVELS = 16
_INTEGERS = 256  # levels that all integers of 8 bits stand for; 255 leave one out, which QuantizeLinear cannot
_NEVER_NEGATIVE = ("Relu", "Sigmoid", "HSigmoid", "HardSigmoid", "Softmax", "SoftPlus", "Abs", "Exp", "Sqrt")
_PASSING = ("MaxPool", "AvgPool", "ReduceMean", "ReduceMax", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Concat")
_ON_THE_WAY = ("Multiply", "Add", "Subtract", "Divide", "Round", "Reshape", "Squeeze", "Unsqueeze", "Transpose")
_SIX = 6.0
_SIX_TOLERANCE = 0.02  # a range chosen for ReLU6 ends near 6


def read_fake_quantize(context: ReadContext, operation: Operation) -> str:
    """`FakeQuantize` → QuantizeLinear, DequantizeLinear where they say the same, else the arithmetic itself."""
    levels = int(operation.attribute("levels"))
    ranges = [context.known(operation, position, "a range").astype(np.float64) for position in range(1, 5)]
    low, high, out_low, out_high = ranges
    value = context.source(operation, 0)
    if all(each.size == 1 for each in ranges) and levels == _INTEGERS:
        pair = _affine(float(low.reshape(())), float(high.reshape(())))
        if pair is not None and np.allclose(low, out_low) and np.allclose(high, out_high):
            scale, zero = pair
            parameters = [context.number(scale), context.add_constant(zero, f"{operation.name}/zero_point")]
            return context.add("DequantizeLinear", [context.add("QuantizeLinear", [value, *parameters]), *parameters])

    def constant(array: NDArray[Any]) -> str:
        return context.add_constant(array.astype(np.float32), f"{operation.name}/range")

    clipped = context.add("Min", [context.add("Max", [value, constant(np.minimum(low, high))]), constant(high)])
    span = np.where(high == low, 1.0, high - low)
    steps = context.add("Mul", [context.add("Sub", [clipped, constant(low)]), constant((levels - 1) / span)])
    scaled = context.add("Mul", [context.add("Round", [steps]), constant((out_high - out_low) / (levels - 1))])
    return context.add("Add", [scaled, constant(out_low)])


def _affine(low: float, high: float) -> tuple[float, NDArray[Any]] | None:
    """Return scale and zero point of unsigned 8-bit integers that round as the range does, if there are."""
    scale = (high - low) / (_INTEGERS - 1)
    if scale <= 0:
        return None
    zero = -low / scale
    if abs(zero - round(zero)) > 1e-3 or not 0 <= round(zero) <= 255:
        return None
    return scale, np.array(round(zero), np.uint8)


def take_out_rounding(model: Any) -> int:
    """Take the rounding of activations out of an OpenVINO model, in place; return how many there were."""
    depends: dict[str, bool] = {}
    count = 0
    for node in model.get_ordered_ops():
        feeders = [node.input_value(i).get_node() for i in range(node.get_input_size())]
        moving = [depends.get(str(feeder.get_name()), True) for feeder in feeders]  # what was put in is not noted
        depends[str(node.get_name())] = node.get_type_name() == "Parameter" or any(moving)
        if node.get_type_name() != "FakeQuantize" or not moving[0]:
            continue
        if int(node.get_attributes()["levels"]) < _FEWEST_LEVELS or _becomes_integer(node.output(0)):
            continue
        ranges = [_value(node.input_value(i)) for i in range(1, 5)]
        if any(array is None for array in ranges):
            continue
        _replace(node, [np.asarray(array, np.float32) for array in ranges])
        count += 1
    return count


def _becomes_integer(output: Any) -> bool:
    """Tell whether a value is turned into integers, which hold no more than its range and lie on its steps."""
    for target in output.get_target_inputs():
        node = target.get_node()
        if node.get_type_name() == "Convert" and not node.get_output_element_type(0).is_real():
            return True
        if node.get_type_name() in _ON_THE_WAY and _becomes_integer(node.output(0)):
            return True
    return False


def _value(output: Any) -> NDArray[Any] | None:
    """Return a constant range, also behind a Convert."""
    node = output.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    return np.array(node.get_data(dtype=np.float32)).reshape(tuple(node.get_output_shape(0)))


def _replace(node: Any, ranges: list[NDArray[Any]]) -> None:
    operations = importlib.import_module("openvino.opset13")
    low, high, out_low, out_high = ranges
    value = node.input_value(0)
    if not low.any() and not _never_negative(value):
        top = float(high.max())
        near_six = abs(top - _SIX) <= _SIX_TOLERANCE * _SIX
        value = (operations.clamp(value, 0.0, _SIX) if near_six else operations.relu(value)).output(0)
    span = np.where(high == low, np.float32(1), high - low)
    scale = (out_high - out_low) / span
    if not np.allclose(scale, 1, rtol=1e-5):
        value = operations.multiply(value, operations.constant(scale.astype(np.float32))).output(0)
    shift = out_low - low * scale
    if not np.allclose(shift, 0, atol=float(1e-5 * np.abs(out_high - out_low).max())):
        value = operations.add(value, operations.constant(shift.astype(np.float32))).output(0)
    names = set(node.output(0).get_names())
    node.output(0).replace(value)
    value.add_names(names)


def _never_negative(output: Any) -> bool:
    node = output.get_node()
    kind = node.get_type_name()
    if kind in _NEVER_NEGATIVE or kind == "Parameter":  # the range of an input says what it is meant to hold
        return True
    if kind == "Clamp":
        return float(node.get_attributes()["min"]) >= 0
    if kind == "Concat":
        return all(_never_negative(node.input_value(i)) for i in range(node.get_input_size()))
    return kind in _PASSING and _never_negative(node.input_value(0))
