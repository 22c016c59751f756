"""The weights of a graph as numbers, float or stored as integers, and what a file of them weighs when it is packed.

Zeros and repeated values make no engine of this project faster: kernels compute all of them. They count where files
are packed: downloads, and compilers that store weights packed for their hardware. So the gain is measured on the
written file, never foreseen.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import constant_of, is_op, nodes
from edgeai_runtime.errors import UsageError

LEAST_ELEMENTS = 512
"""Smaller weights are left alone: they weigh little, and one value in them matters more."""

_PLACES: dict[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (0, 1),
    "Gather": (0,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
}
"""Operator → inputs that may be weights."""

_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class WeightValues:
    """What a weight consists of.

    Attributes:
        weight: its name.
        elements: how many numbers.
        distinct: how many different ones.
        zeros: how many are zero.
    """

    weight: str
    elements: int
    distinct: int
    zeros: int


def weight_constants(model: ir.Model, *, least_elements: int = LEAST_ELEMENTS) -> Iterator[ir.Value]:
    """Yield the weights of layers in the order of the graph: float32 constants, or int8 ones that are dequantized."""
    seen: set[ir.Value] = set()
    for node in nodes(model, *_PLACES):
        for index in _PLACES[node.op_type]:
            value = node.inputs[index] if index < len(node.inputs) else None
            stored = value.producer() if value is not None else None
            if stored is not None and is_op(stored, "DequantizeLinear"):
                value = stored.inputs[0]
            array = constant_of(value)
            if value is None or array is None or value in seen or value.is_graph_output():
                continue
            seen.add(value)
            fits = array.dtype in (np.float32, np.int8) and array.ndim >= 2 and array.size >= least_elements
            if fits and (array.dtype == np.int8 or bool(np.isfinite(array).all())):
                yield value


def describe_values(model: ir.Model, *, least_elements: int = LEAST_ELEMENTS) -> tuple[WeightValues, ...]:
    """Return what the weights of a graph consist of."""
    found = []
    for value in weight_constants(model, least_elements=least_elements):
        assert value.const_value is not None
        array = value.const_value.numpy()
        found.append(
            WeightValues(
                weight=str(value.name),
                elements=int(array.size),
                distinct=len(np.unique(array)),
                zeros=int((array == 0).sum()),
            )
        )
    return tuple(found)


def packed_size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder, each deflated at level 9 as app stores and zip do.

    Reads a megabyte at a time.

    Raises:
        UsageError: there is no such path.
    """
    if not path.exists():
        raise UsageError(f"There is no file or folder {path}.")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return sum(_deflated(file) for file in files)


def _deflated(file: Path) -> int:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    size = 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())
