"""The boundary of a TFLite file that another tool wrote: the source's names and order, whatever the tool made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeai_converters.emit.tflite.flatbuffer import read_model, write_model
from edgeai_converters.emit.tflite.schema import load_schema
from edgeai_runtime.errors import UnsupportedOperationError

_TO_CHANNELS_FIRST = (0, 3, 1, 2)


def rename_boundary(content: bytes, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> bytes:
    """Return the file with the given names at its boundary, in the given order, in tensors and signature.

    A tensor is matched by the name that the signature or the file has for it, then by the number at the end of that
    name (`args_1`, `output_0`), then by its place.

    Args:
        content: a `.tflite` file.
        inputs: `{name, shape, …}` of the source's inputs, in order.
        outputs: likewise.

    Raises:
        UnsupportedOperationError: the file has another number of inputs or outputs.
    """
    model = read_model(content, where="what the tool wrote")
    graph = model.subgraphs[0]
    schema = load_schema()
    signature = (model.signatureDefs or [None])[0] or schema.SignatureDefT()
    graph.inputs = _matched(graph, graph.inputs, signature.inputs, inputs, "inputs")
    graph.outputs = _matched(graph, graph.outputs, signature.outputs, outputs, "outputs")
    for spec, index in zip([*inputs, *outputs], [*graph.inputs, *graph.outputs], strict=True):
        graph.tensors[index].name = spec["name"]
    signature.signatureKey = signature.signatureKey or "serving_default"
    signature.inputs = _maps(schema, inputs, graph.inputs)
    signature.outputs = _maps(schema, outputs, graph.outputs)
    model.signatureDefs = [signature]
    return write_model(model)


def turn_outputs(content: bytes, outputs: Sequence[dict[str, Any]]) -> bytes:
    """Return the file with a TRANSPOSE before each output that it has channels-last and the source channels-first.

    Args:
        content: a `.tflite` file whose outputs are in the source's order.
        outputs: `{name, shape, layout, …}` of the source's outputs, in order.
    """
    model = read_model(content, where="what the tool wrote")
    graph, schema = model.subgraphs[0], load_schema()
    graph.outputs = [int(index) for index in graph.outputs]
    for place, spec in enumerate(outputs):
        index = graph.outputs[place]
        tensor = graph.tensors[index]
        sizes = [int(size) for size in tensor.shape]
        wanted = spec["shape"]
        if spec["layout"] != "NCHW" or len(sizes) != 4:
            continue
        turned = [sizes[axis] for axis in _TO_CHANNELS_FIRST]
        if any(size not in (None, got) for size, got in zip(wanted, turned, strict=True)):
            continue
        order = _add_tensor(schema, model, f"{spec['name']}/order", [4], schema.TensorType.INT32)
        data = np.array(_TO_CHANNELS_FIRST, np.int32).view(np.uint8)
        graph.tensors[order].buffer = len(model.buffers)
        model.buffers.append(schema.BufferT(data=data))
        result = _add_tensor(schema, model, spec["name"], turned, tensor.type)
        graph.tensors[result].quantization = tensor.quantization
        if tensor.shapeSignature is not None and len(tensor.shapeSignature) == 4:
            signature = [int(tensor.shapeSignature[axis]) for axis in _TO_CHANNELS_FIRST]
            graph.tensors[result].shapeSignature = np.array(signature, np.int32)
        tensor.name = f"{spec['name']}/channels_last"
        _add_transpose(schema, model, index, order, result)
        graph.outputs[place] = result
        for entry in model.signatureDefs[0].outputs:
            entry.tensorIndex = result if entry.tensorIndex == index else entry.tensorIndex
    return write_model(model)


def _add_tensor(schema: Any, model: Any, name: str, shape: Sequence[int], kind: int) -> int:
    graph = model.subgraphs[0]
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer = name, kind, 0
    tensor.shape = np.array(shape, np.int32)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _add_transpose(schema: Any, model: Any, source: int, order: int, result: int) -> None:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE
    code.version = 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = np.array([source, order], np.int32)
    operator.outputs = np.array([result], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.TransposeOptions
    operator.builtinOptions = schema.TransposeOptionsT()
    model.subgraphs[0].operators.append(operator)


def _matched(graph: Any, tensors: Any, maps: Any, specs: Sequence[dict[str, Any]], what: str) -> list[int]:
    """Return the tensors in the order of the specs."""
    places = [int(index) for index in tensors]
    if len(places) != len(specs):
        raise UnsupportedOperationError(f"The tool wrote {len(places)} {what}. The source has {len(specs)}.")
    called = {int(entry.tensorIndex): _text(entry.name) for entry in maps or ()}
    names = {index: called.get(index, _text(graph.tensors[index].name)) for index in places}
    wanted = [spec["name"] for spec in specs]
    plain = {_plain(name): index for index, name in names.items()}
    if set(plain) == {_plain(name) for name in wanted}:
        return [plain[_plain(name)] for name in wanted]
    numbers = [re.search(r"(\d+)$", name) for name in names.values()]
    if len(called) == len(places) and all(numbers) and len({_stem(name) for name in names.values()}) == 1:
        return sorted(places, key=lambda index: int(re.search(r"(\d+)$", names[index])[1]))  # type: ignore[index]
    return places


def _maps(schema: Any, specs: Sequence[dict[str, Any]], tensors: Sequence[int]) -> list[Any]:
    maps = []
    for spec, index in zip(specs, tensors, strict=True):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = spec["name"], index
        maps.append(entry)
    return maps


def _plain(name: str) -> str:
    """Return a name as tools agree on it: `serving_default_x:0` is `x`."""
    return name.removeprefix("serving_default_").split(":")[0]


def _stem(name: str) -> str:
    return re.sub(r"\d+$", "", name)


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
