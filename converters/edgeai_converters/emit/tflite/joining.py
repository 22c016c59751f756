"""Putting values together and around: Concat ↔ CONCATENATION, Pad ↔ PAD, PADV2, MIRROR_PAD."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.elementwise import common_order
from edgeai_converters.emit.tflite.folding import Constant
from edgeai_converters.emit.tflite.layout import UNIT, physical_axis
from edgeai_converters.emit.tflite.quantization import quantize
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext, arranged

MOST_JOINED = 5
"""Parts up to which XNNPACK takes a CONCATENATION."""


def write_concat(context: WriteContext, node: ir.Node) -> None:
    """Write CONCATENATION; in integers every input takes the quantization of the result, which the kernel needs."""
    operands = [
        operand for operand in (context.operand(node, i) for i in range(len(node.inputs))) if operand is not None
    ]
    if not any(isinstance(operand, Value) for operand in operands):
        raise UnwritableError("all inputs are constant; fold constants first")
    rank = len(operands[0].shape)
    axis = node.attributes.get_int("axis") % rank
    output = context.integer_output(node, *operands)
    first = next(operand for operand in operands if isinstance(operand, Value))
    if output is None and all(
        isinstance(operand, Value)
        and first.quantization is not None
        and first.quantization.same_as(operand.quantization)
        for operand in operands
    ):
        output = first.quantization
    order = common_order(operands, rank)
    tensors = []
    for operand in operands:
        if isinstance(operand, Constant):
            array = arranged(operand.real, order)
            stored = array if output is None else quantize(array, output)
            tensors.append(context.file.add_constant(stored, operand.name, output))
        elif output is None:
            tensors.append(context.tensor(operand, order))
        else:
            tensors.append(context.stored_as(operand, order, output))
    positive = all(isinstance(operand, Value) and operand.non_negative for operand in operands)
    result = context.result(node, order, output, non_negative=positive)
    place = physical_axis(order, axis)
    tensors = _in_groups(context, tensors, place, result)
    context.add("CONCATENATION", tensors, [result], "ConcatenationOptions", axis=place, fusedActivationFunction=0)


def _in_groups(context: WriteContext, tensors: list[int], axis: int, result: int) -> list[int]:
    """Join neighbours until no more are left than XNNPACK joins in one operator."""
    name = context.file.tensors[result].name
    while len(tensors) > MOST_JOINED and all(context.shape_of(tensor)[axis] is not None for tensor in tensors):
        groups = [tensors[start : start + MOST_JOINED] for start in range(0, len(tensors), MOST_JOINED)]
        tensors = []
        for group in groups:
            if len(group) == 1:
                tensors += group
                continue
            shape = list(context.shape_of(group[0]))
            shape[axis] = sum(context.shape_of(tensor)[axis] or 0 for tensor in group)
            joined = context.scratch(result, tuple(shape), f"{name}/part")
            context.add("CONCATENATION", group, [joined], "ConcatenationOptions", axis=axis, fusedActivationFunction=0)
            tensors.append(joined)
    return tensors


def write_pad(context: WriteContext, node: ir.Node) -> None:
    """Write padding with zeros (PAD), another constant (PADV2) or mirrored values (MIRROR_PAD)."""
    value, pads = context.value(node), context.constant(node, 1, "the pads")
    fill, axes = context.optional_constant(node, 2, "the fill value"), context.optional_constant(node, 3, "the axes")
    mode = node.attributes.get_string("mode", "constant") or "constant"
    amounts = pads.stored.reshape(2, -1)
    chosen = [int(a) % value.rank for a in axes.stored.reshape(-1)] if axes is not None else list(range(value.rank))
    logical = {axis: (int(amounts[0, i]), int(amounts[1, i])) for i, axis in enumerate(chosen)}
    if any(amount < 0 for pair in logical.values() for amount in pair):
        raise UnwritableError("negative padding, which crops")
    number = 0.0 if fill is None or fill.stored.size == 0 else float(fill.real.reshape(()))
    order = value.order
    integer = value.quantization is not None
    source = context.tensor(value, order, integer=integer)
    table = [(0, 0) if axis == UNIT else logical.get(axis, (0, 0)) for axis in order]
    if mode == "constant" and number == 0 and not any(amount for pair in table for amount in pair):
        context.define(node, value)
        return
    result = context.result(node, order, value.quantization, non_negative=value.non_negative and number >= 0)
    paddings = context.integers(np.array(table, np.int32), f"{node.outputs[0].name}/paddings")
    if mode == "constant" and number == 0:
        context.add("PAD", [source, paddings], [result], "PadOptions")
    elif mode == "constant":
        array = np.array([number], np.float32)
        stored = quantize(array, value.quantization) if value.quantization is not None else array
        constant = context.file.add_constant(stored, f"{node.outputs[0].name}/fill", value.quantization)
        context.add("PADV2", [source, paddings, constant], [result], "PadV2Options")
    elif mode == "reflect":
        context.add("MIRROR_PAD", [source, paddings], [result], "MirrorPadOptions", mode=0)
    else:
        raise UnwritableError(f"padding mode {mode!r}")


def read_concatenation(context: ReadContext, operator: Operator) -> None:
    """Read CONCATENATION."""
    names = [context.source(tensor) for tensor in operator.inputs]
    context.finish(operator, context.add("Concat", names, axis=int(operator.option("axis"))))


def read_pack(context: ReadContext, operator: Operator) -> None:
    """Read PACK as Unsqueeze of every value and Concat; of constants as a constant."""
    axis = int(operator.option("axis"))
    constants = [context.constant(tensor) for tensor in operator.inputs]
    known = [value for value in constants if value is not None]
    if len(known) == len(constants):
        context.set_constant(operator.outputs[0], np.stack(known, axis))
        return
    axes = context.integers([axis], f"{context.name(operator.outputs[0])}/axis")
    names = [context.add("Unsqueeze", [context.source(tensor), axes]) for tensor in operator.inputs]
    context.finish(operator, context.add("Concat", names, axis=axis))


def read_pad(context: ReadContext, operator: Operator) -> None:
    """Read PAD, PADV2 and MIRROR_PAD."""
    amounts = context.known(operator, 1, "the paddings").reshape(-1, 2)
    name = context.name(operator.outputs[0])
    inputs = [context.source(operator.inputs[0]), context.integers(amounts.T.reshape(-1), f"{name}/pads")]
    mode = "constant"
    if operator.name == "PADV2":
        inputs.append(context.number(float(context.known(operator, 2, "the fill value").reshape(()))))
    elif operator.name == "MIRROR_PAD":
        if operator.option("mode"):
            raise UnreadableError("symmetric padding")
        mode = "reflect"
    context.finish(operator, context.add("Pad", inputs, mode=mode))
