"""Inspecting an OpenVINO IR (`.xml` with its `.bin`), from the XML alone: OpenVINO need not be installed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from edgeai_converters.inspection.macs import Shape, elements, per_element
from edgeai_converters.inspection.record import (
    HeavyOperation,
    Inspection,
    count_operators,
    macs_by_name,
    mix_precisions,
    total_macs,
    unknown_macs_note,
    with_metadata,
)
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import Precision, TensorSpec

_DTYPES = {
    "f64": "float64",
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "i8": "int8",
    "u8": "uint8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "boolean": "bool",
}
_TRAINED = {"f64", "f32", "f16", "bf16", "i8", "u8", "i4", "u4", "nf4"}
_BITS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16, "i8": 8, "u8": 8, "i4": 4, "u4": 4, "nf4": 4}
_OUTER_DIMENSIONS = {
    "Convolution": 1,
    "GroupConvolution": 2,
    "ConvolutionBackpropData": 1,
    "GroupConvolutionBackpropData": 2,
}
"""Leading dimensions of the weight that are not summed over per element: `[O, …]`, or `[groups, O, …]`."""

_PASS_THROUGH = {"Convert", "Subtract", "Multiply", "Reshape", "Transpose", "FakeQuantize", "Squeeze", "Unsqueeze"}
NOT_OPERATORS = {"Const", "Parameter", "Result"}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of an IR; `inputs` and `outputs` are the shapes of its ports, by the port's id."""

    id: str
    name: str
    type: str
    data: dict[str, str]
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    output_dtypes: tuple[str, ...]


def inspect_openvino(path: Path) -> Inspection:
    """Say what is in an OpenVINO IR.

    Raises:
        ModelError: no IR, damaged XML, or the `.bin` beside it is missing or cut short.
    """
    layers, sources = read_layers(path)
    weights = path.with_suffix(".bin")
    has_constants = any(layer.type == "Const" for layer in layers.values())
    if has_constants and not weights.is_file():
        raise ModelError(
            f"{path} keeps its weights in {weights.name}, which is missing.", hint="Put it beside the .xml."
        )
    size = weights.stat().st_size if weights.is_file() else 0
    _check_extent(path, layers, size)
    graph = LayerGraph(layers, sources)
    heavy = [operation for layer in layers.values() if (operation := graph.heavy(layer)) is not None]
    precision, mix = mix_precisions(heavy)
    types = [layer.type for layer in layers.values() if layer.type not in NOT_OPERATORS]
    notes = [
        f"{name} holds a body whose MACs are not counted." for name in ("TensorIterator", "Loop", "If") if name in types
    ]
    found = Inspection(
        format="openvino",
        inputs=tuple(_spec(each, each.outputs, each.data) for each in layers.values() if each.type == "Parameter"),
        outputs=tuple(graph.result(each) for each in layers.values() if each.type == "Result"),
        operators=count_operators(types),
        parameters=sum(graph.trained(layer) for layer in layers.values()),
        macs=total_macs(heavy),
        size_bytes=path.stat().st_size + size,
        precision=precision,
        precision_mix=mix,
        notes=(*notes, *unknown_macs_note(heavy)),
        macs_by_operation={} if notes else macs_by_name(heavy, [operation.name for operation in heavy]),
    )
    return with_metadata(found, _metadata(path))


def _metadata(path: Path) -> dict[str, str]:
    """Return what the model it was read from said of itself, which OpenVINO keeps."""
    kept = ET.parse(path).getroot().find("rt_info/framework")
    entries = () if kept is None else tuple(kept)
    return {entry.get("name", entry.tag): entry.get("value", "") for entry in entries if entry.get("value") is not None}


def read_layers(path: Path) -> tuple[dict[str, Layer], dict[tuple[str, str], str]]:
    """Return layers by id, and for each input `(layer, port)` the layer that feeds it.

    Raises:
        ModelError: no IR, or damaged XML.
    """
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{path} is no XML file, or it is damaged: {error}", hint="Copy it again.") from error
    nodes = root.find("layers")
    if root.tag != "net" or nodes is None:
        raise ModelError(f"{path} is no OpenVINO IR: its root is <{root.tag}>.", hint="Give the .xml of an IR.")
    layers = {}
    for node in nodes.findall("layer"):
        data = node.find("data")
        outputs = node.findall("output/port")
        layer = Layer(
            id=node.get("id", ""),
            name=node.get("name", ""),
            type=node.get("type", ""),
            data={} if data is None else dict(data.attrib),
            inputs={port.get("id", ""): _shape(port) for port in node.findall("input/port")},
            outputs={port.get("id", ""): _shape(port) for port in outputs},
            output_dtypes=tuple(port.get("precision", "") for port in outputs),
        )
        layers[layer.id] = layer
    edges = root.findall("edges/edge")
    sources = {(e.get("to-layer", ""), e.get("to-port", "")): e.get("from-layer", "") for e in edges}
    return layers, sources


def _check_extent(path: Path, layers: dict[str, Layer], size: int) -> None:
    for layer in layers.values():
        if layer.type != "Const":
            continue
        try:
            end = int(layer.data.get("offset", "0")) + int(layer.data.get("size", "0"))
        except ValueError as error:
            raise ModelError(f"{path}: constant {layer.name!r} has no valid offset: {error}") from error
        if end > size:
            name = path.with_suffix(".bin").name
            raise ModelError(f"{name} is cut short: {size} bytes, {end} are needed.", hint="Copy it again.")


class LayerGraph:
    """Layers and what feeds them."""

    def __init__(self, layers: dict[str, Layer], sources: dict[tuple[str, str], str]) -> None:
        self._layers = layers
        self._sources = sources
        self._users: dict[str, list[tuple[Layer, int]]] = {}
        for layer in layers.values():
            for position, port in enumerate(layer.inputs):
                self._users.setdefault(sources.get((layer.id, port), ""), []).append((layer, position))

    def heavy(self, layer: Layer) -> HeavyOperation | None:
        """Return the layer as a heavy operation, or `None` when it is not one."""
        if layer.type not in _OUTER_DIMENSIONS and layer.type != "MatMul":
            return None
        data, weight = ([_for_one(shape) for shape in layer.inputs.values()] + [None, None])[:2]
        output = _for_one(next(iter(layer.outputs.values()), None))
        if layer.type == "MatMul":
            transposed = layer.data.get("transpose_a") == "true"
            macs = per_element(output, None if not data else data[-2:-1] if transposed else data[-1:])
        else:
            outer = _OUTER_DIMENSIONS[layer.type]
            kernel = None if weight is None else weight[outer:]
            macs = per_element(data if layer.type.endswith("BackpropData") else output, kernel)
        return HeavyOperation(name=layer.name, op_type=layer.type, macs=macs, precision=self._precision(layer))

    def trained(self, layer: Layer) -> int:
        """Return the number of trained values in a constant; 0 for shapes, scales, zero points and quantizer limits."""
        if layer.type != "Const" or layer.data.get("element_type") not in _TRAINED:
            return 0
        shape = next(iter(layer.outputs.values()), None)
        if not shape or all(self._is_setting(user, position) for user, position in self._users.get(layer.id, [])):
            return 0
        return elements(shape) or 0

    def result(self, layer: Layer) -> TensorSpec:
        """Return the spec of an output, named by the layer that feeds it."""
        maker = self.feeder(layer, 0)
        names = maker.name if maker is not None else layer.name
        dtype = maker.output_dtypes[0].lower() if maker is not None and maker.output_dtypes else "fp32"
        shape = next(iter(layer.inputs.values()), None) or ()
        return TensorSpec(name=names, shape=tuple(shape), dtype=_port_dtype(dtype))

    def _is_setting(self, user: Layer, position: int) -> bool:
        if user.type == "FakeQuantize":
            return position > 0
        if user.type == "Convert":  # a zero point stored in int8: Const → Convert → Subtract, second input
            return any(each.type == "Subtract" and at == 1 for each, at in self._users.get(user.id, []))
        return user.type in ("Multiply", "Subtract") and position == 1 and self._is_integer(self.feeder(user, 0))

    def _is_integer(self, layer: Layer | None) -> bool:
        """Whether a layer is a dequantization in progress: Convert of an integer, perhaps less its zero point."""
        while layer is not None and layer.type == "Subtract":
            layer = self.feeder(layer, 0)
        source = self.feeder(layer, 0) if layer is not None and layer.type == "Convert" else None
        if source is None:
            return False
        return bool(source.output_dtypes) and source.output_dtypes[0] in ("I8", "U8", "I4", "U4")

    def _precision(self, layer: Layer) -> Precision:
        stored, rounded = self._stored(self.feeder(layer, 1))
        if stored is None:
            return "int8" if self._is_quantized(self.feeder(layer, 0)) else "float32"
        if _BITS[stored] <= 8 or rounded:
            narrow: Precision = "int4" if _BITS[stored] == 4 else "dynamic_int8"
            return "int8" if self._is_quantized(self.feeder(layer, 0)) else narrow
        return "float16" if _BITS[stored] == 16 else "float32"

    def _stored(self, layer: Layer | None) -> tuple[str | None, bool]:
        """The type a weight is stored in (`None` when computed), and whether a FakeQuantize rounds it when loaded."""
        rounded = False
        while layer is not None and layer.type in _PASS_THROUGH:
            rounded = rounded or layer.type == "FakeQuantize"
            layer = self.feeder(layer, 0)
        if layer is None or layer.type != "Const":
            return None, rounded
        return layer.data.get("element_type") if layer.data.get("element_type") in _BITS else None, rounded

    def _is_quantized(self, layer: Layer | None) -> bool:
        """Whether an activation comes out of a quantizer."""
        while layer is not None and layer.type in ("Convert", "Subtract", "Multiply", "Reshape", "Transpose"):
            if layer.type == "Convert" and self._is_byte(self.feeder(layer, 0)):
                return True
            layer = self.feeder(layer, 0)
        return layer is not None and layer.type == "FakeQuantize"

    @staticmethod
    def _is_byte(layer: Layer | None) -> bool:
        return layer is not None and bool(layer.output_dtypes) and layer.output_dtypes[0] in ("I8", "U8")

    def feeder(self, layer: Layer | None, position: int) -> Layer | None:
        """Return the layer that feeds an input of `layer`."""
        if layer is None or position >= len(layer.inputs):
            return None
        return self._layers.get(self._sources.get((layer.id, list(layer.inputs)[position]), ""))


def _spec(layer: Layer, ports: dict[str, Shape], data: dict[str, str]) -> TensorSpec:
    element_type = data.get("element_type", "f32")
    shape = next(iter(ports.values()), None) or ()
    if data.get("shape") is not None:
        shape = [_size(each) for each in data["shape"].split(",") if each.strip()]
    return TensorSpec(name=layer.name, shape=tuple(shape), dtype=_DTYPES.get(element_type, element_type))


def _port_dtype(word: str) -> str:
    """Return the numpy name of a port's precision (`FP32`, `I64`)."""
    short = word.replace("fp", "f").replace("bool", "boolean")
    return _DTYPES.get(short, word)


def _shape(port: ET.Element) -> Shape:
    return [_size(dim.text or "") for dim in port.findall("dim")]


def _for_one(shape: Shape) -> Shape:
    """The shape for batch 1: a free first dimension counts as 1."""
    return [1, *shape[1:]] if shape and shape[0] is None else shape


def _size(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None
