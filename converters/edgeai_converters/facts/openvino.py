"""Facts of an OpenVINO IR, from the XML alone. Its memory is planned as it is stored.

OpenVINO computes quantized parts in 8 bits and reorders maps for its kernels: it may need less or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

from edgeai_converters.inspection.openvino import NOT_OPERATORS, Layer, LayerGraph, read_layers
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts, Role, TensorLife
from edgeai_runtime.manifest import Precision

_SAME_DATA = {"Reshape", "Squeeze", "Unsqueeze"}
_BITS = {
    **dict.fromkeys(("FP64", "I64", "U64"), 64),
    **dict.fromkeys(("FP32", "I32", "U32"), 32),
    **dict.fromkeys(("FP16", "BF16", "I16", "U16"), 16),
}
"""Bits of an element; 8 where not said."""


def read_openvino_facts(path: Path) -> ModelFacts:
    """Return the facts of an IR, for batch 1 where the batch is free.

    Raises:
        ModelError: no IR, or damaged XML.
    """
    layers, sources = read_layers(path)
    graph = LayerGraph(layers, sources)
    constant: set[str] = set()
    for layer in layers.values():  # in the order they run
        feeders = [graph.feeder(layer, position) for position in range(len(layer.inputs))]
        if layer.type == "Const" or (feeders and all(each is not None and each.id in constant for each in feeders)):
            constant.add(layer.id)
    running = [each for each in layers.values() if each.type not in NOT_OPERATORS and each.id not in constant]
    parameters = [each for each in layers.values() if each.type == "Parameter"]
    free = [(f"{each.name} [{_words(shape)}]", shape) for each in parameters for shape in each.outputs.values()]
    free = [(text, shape) for text, shape in free if None in (shape or ())]
    lives, unknown = _lives(layers, graph, running, parameters)
    weights = path.with_suffix(".bin")
    return ModelFacts(
        format="openvino",
        operators=tuple(_operator(layer, graph) for layer in running),
        size_bytes=path.stat().st_size + (weights.stat().st_size if weights.is_file() else 0),
        free=tuple(text for text, _ in free),
        only_batch_is_free=bool(free) and all(None not in (shape or ())[1:] for _, shape in free),
        tensors=() if unknown else tuple(lives),
        unplanned=f"the shape of {unknown!r} is not known" if unknown else "",
    )


def _operator(layer: Layer, graph: LayerGraph) -> OperatorFacts:
    heavy = graph.heavy(layer)
    return OperatorFacts(
        name=layer.type,
        label=layer.name,
        precision=heavy.precision if heavy is not None else _precision(layer),
        is_heavy=heavy is not None,
    )


def _precision(layer: Layer) -> Precision | None:
    if any(each in ("FP32", "FP64") for each in layer.output_dtypes):
        return "float32"
    if any(each in ("FP16", "BF16") for each in layer.output_dtypes):
        return "float16"
    return "int8" if any(each in ("I8", "U8") for each in layer.output_dtypes) else None


def _lives(
    layers: dict[str, Layer], graph: LayerGraph, running: Sequence[Layer], parameters: Sequence[Layer]
) -> tuple[list[TensorLife], str]:
    """Return the lives of what layers make, and the name of the first layer whose shape is not known."""
    steps = {layer.id: step for step, layer in enumerate(running)}
    last = {layer.id: steps.get(layer.id, 0) for layer in (*parameters, *running)}
    results = set()
    for layer in layers.values():
        for position in range(len(layer.inputs)):
            feeder = graph.feeder(layer, position)
            if feeder is None or feeder.id not in last:
                continue
            last[feeder.id] = max(last[feeder.id], steps.get(layer.id, 0))
            if layer.type == "Result":
                results.add(feeder.id)
    lives = []
    for layer in (*parameters, *running):
        size = _size(layer)
        if size is None:
            return [], layer.name
        source = graph.feeder(layer, 0) if layer.type in _SAME_DATA else None
        role: Role = "input" if layer.type == "Parameter" else "output" if layer.id in results else "inner"
        lives.append(
            TensorLife(
                name=f"{layer.id}:{layer.name}",
                size_bytes=size,
                first_step=steps.get(layer.id, 0),
                last_step=last[layer.id],
                role=role,
                same_data_as=f"{source.id}:{source.name}" if source is not None and source.id in last else None,
            )
        )
    return lives, ""


def _size(layer: Layer) -> int | None:
    """Bytes of all that a layer makes; a free first dimension counts as 1."""
    total = 0
    for shape, dtype in zip(layer.outputs.values(), layer.output_dtypes, strict=False):
        sizes = [1 if axis == 0 and size is None else size for axis, size in enumerate(shape or ())]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        total += prod(known) * _BITS.get(dtype, 8) // 8
    return total


def _words(shape: Sequence[int | None] | None) -> str:
    return ", ".join("?" if size is None else str(size) for size in shape or ())
