"""How large the arena of a model in TensorFlow Lite Micro must be: a plan of the tensors, and what is needed beside.

    arena = tensors and kernels' scratch memory, planned (at least what planning them takes)
          + records: the interpreter's of operators and tensors, the kernels' of channels
          + margin

The plan is `edgeai_devices.memory_arena`'s, as `GreedyMemoryPlanner` makes it. Records are counted with the
pointers of a 64-bit host, twice as large as a microcontroller's. Scratch is what the kernels of the device's library
ask for: CMSIS-NN on Cortex-M, ESP-NN on Espressif; reference kernels ask for none. The program prints what was really
used: `MicroInterpreter::arena_used_bytes()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from edgeai_converters.emit.tflite.flatbuffer import code_name, read_model
from edgeai_converters.emit.tflite.schema import load_schema
from edgeai_devices.memory_arena import plan_arena
from edgeai_devices.operator_facts import ModelFacts, TensorLife
from edgeai_devices.profile import Profile

Kernels = Literal["reference", "cmsis-nn", "cmsis-nn with Helium", "esp-nn"]

MARGIN = 0.1
"""Share of everything else that is added: kernels of other versions ask for a little more."""

_BASE = 768
_PER_OPERATOR = 64 + 28 + 112
_PER_TENSOR = 24
_PER_BOUNDARY = 96
_PER_CHANNEL = 8
"""Bytes of records, from `RecordingMicroAllocator` on a 64-bit host: nodes, their slots in tables, their kernels'
data, evaluated tensors, tensors of inputs and outputs with their quantization, multiplier and shift per channel."""

_PLANNING = 56
"""Bytes per tensor that planning takes at the place where tensors will lie."""

_ALIGNMENT = 16

_WITH_CHANNELS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
"""Operators whose second input are weights."""


@dataclass(frozen=True, kw_only=True)
class Arena:
    """What the arena is made of, in bytes.

    Attributes:
        tensors: the planned peak of the tensors alone.
        scratch: what kernels' scratch memory adds to it.
        records: of the interpreter and the kernels.
        margin: added on top.
        kernels: whose scratch memory was counted.
    """

    tensors: int
    scratch: int
    records: int
    margin: int
    kernels: Kernels

    @property
    def total(self) -> int:
        """The size of the arena, a multiple of 16."""
        return _align(self.tensors + self.scratch + self.records + self.margin)


def plan_micro_arena(content: bytes, facts: ModelFacts, profile: Profile | None = None) -> Arena:
    """Return the arena of a `.tflite` model.

    Args:
        content: the file.
        facts: of the same file.
        profile: the device, whose kernels' scratch memory is counted; without one, CMSIS-NN's.
    """
    model = read_model(content)
    graph = model.subgraphs[0]
    kernels = kernels_of(profile)
    tensors = plan_arena(facts.tensors, "micro").peak_bytes
    asked = list(_scratch(model, graph, kernels))
    end = max((life.last_step for life in facts.tensors), default=0)
    lives = (*facts.tensors, *(replace(each, last_step=min(each.last_step, end)) for each in asked))
    planned = max(plan_arena(lives, "micro").peak_bytes, _PLANNING * (len(facts.tensors) + len(asked)))
    count = sum(len(each.tensors or []) for each in model.subgraphs)
    boundary = len(_indices(graph.inputs)) + len(_indices(graph.outputs))
    channels = sum(_channels(model, each) for each in model.subgraphs)
    records = _BASE + _PER_OPERATOR * len(facts.operators) + _PER_TENSOR * count + _PER_BOUNDARY * boundary
    records += _PER_CHANNEL * channels
    return Arena(
        tensors=tensors,
        scratch=max(0, planned - tensors),
        records=records,
        margin=int((planned + records) * MARGIN),
        kernels=kernels,
    )


def kernels_of(profile: Profile | None) -> Kernels:
    """Return the library of kernels that a device's port of TensorFlow Lite Micro is built with."""
    if profile is None:
        return "cmsis-nn"
    if any(rules.id == "esp-nn" for rules in profile.rules):
        return "esp-nn"
    if profile.cpu.architecture.startswith("armv8.1-m"):
        return "cmsis-nn with Helium"
    return "cmsis-nn" if profile.cpu.architecture.startswith("armv") else "reference"


def _scratch(model: Any, graph: Any, kernels: Kernels) -> Iterator[TensorLife]:
    """Give what each int8 kernel of the library asks for while it runs."""
    for step, operator in enumerate(graph.operators or []):
        name = code_name(model.operatorCodes[operator.opcodeIndex])
        size = _scratch_of(name, graph, operator, kernels)
        if size:
            yield TensorLife(name=f"scratch of operator {step}", size_bytes=size, first_step=step, last_step=step)


def _scratch_of(name: str, graph: Any, operator: Any, kernels: Kernels) -> int:
    """CMSIS-NN: `arm_*_get_buffer_size`; ESP-NN: `esp_nn_get_*_scratch_size`, rounded up."""
    inputs = _indices(operator.inputs)
    if kernels == "reference" or name not in _WITH_SCRATCH:
        return 0
    data = _indices(graph.tensors[inputs[0]].shape)
    if name == "AVERAGE_POOL_2D":
        return 4 * data[-1]
    if graph.tensors[inputs[1]].type == load_schema().TensorType.FLOAT32:
        return 0
    weights = _indices(graph.tensors[inputs[1]].shape)
    if name == "FULLY_CONNECTED":
        return 4 * weights[0]  # sums of the weights' rows
    if kernels == "esp-nn":
        data = _indices(graph.tensors[inputs[2]].shape) if name == "TRANSPOSE_CONV" else data
        channels = _align(data[3], 8)
        return 2 * (_product(data[1:3]) * channels + _align(_product(weights), 8)) + 16 * channels + 32
    column = _align(_product(weights[1:]))
    if name == "TRANSPOSE_CONV":
        return 4 * column + 4 * weights[0] * weights[1] * weights[2]
    if name == "DEPTHWISE_CONV_2D" and kernels == "cmsis-nn with Helium":
        return max(4 * _HELIUM_CHANNELS * _product(weights[1:3]), 2 * column)
    return 2 * column if name == "DEPTHWISE_CONV_2D" else 4 * column


_WITH_SCRATCH = {*_WITH_CHANNELS, "AVERAGE_POOL_2D"}
"""Kernels that ask for scratch memory; another's is within the margin."""

_HELIUM_CHANNELS = 124
"""`CH_IN_BLOCK_MVE`: channels that CMSIS-NN's depthwise convolution takes at a time."""


def _channels(model: Any, graph: Any) -> int:
    """Return for how many channels kernels keep a multiplier and a shift."""
    total = 0
    for operator in graph.operators or []:
        name = code_name(model.operatorCodes[operator.opcodeIndex])
        inputs = _indices(operator.inputs)
        if name not in _WITH_CHANNELS:
            continue
        weights = graph.tensors[inputs[1]]
        scales = 0 if weights.quantization is None or weights.quantization.scale is None else weights.quantization.scale
        if name != "FULLY_CONNECTED" or np.size(scales) > 1:
            total += _indices(weights.shape)[-1 if name == "DEPTHWISE_CONV_2D" else 0]
    return total


def _product(sizes: list[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _align(size: int, step: int = _ALIGNMENT) -> int:
    return -(-size // step) * step


def _indices(vector: Any) -> list[int]:
    return [] if vector is None else [int(each) for each in vector]
