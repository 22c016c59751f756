"""Writing the graph as OpenVINO IR: `<stem>.xml` with `<stem>.bin`.

OpenVINO's own ONNX reader does the work. Integers stay integers in the file: weights as int8 constants with their
scales, activations as FakeQuantize. OpenVINO's Python converter is not used, since it may send usage data.
"""

from __future__ import annotations

import collections
import importlib
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.edit import add_constant, constant_of, nodes
from edgeai_converters.quantize.quantized_source import unsign_activations
from edgeai_converters.require import require
from edgeai_runtime.errors import UnsupportedOperationError

logger = logging.getLogger(__name__)


def emit_openvino(model: ir.Model, folder: Path, *, stem: str = "model") -> Artifact:
    """Write `<stem>.xml` and `<stem>.bin`.

    Args:
        model: the graph; not changed. Signed activations are written unsigned, which is the same numbers: OpenVINO
            misreads signed ones.
        folder: an existing folder.
        stem: name of the files without suffix.

    Raises:
        UnsupportedOperationError: OpenVINO's reader does not take an operation of the graph, or signed integers go to
            other operators than Dequantize.
        MissingEngineError: OpenVINO is not installed.
    """
    openvino = require("openvino", extra="openvino")
    model, _ = unsign_activations(model)
    _refuse_signed_activations(model)
    model = model.clone()
    _fold_biases(model)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{stem}-") as beside:
        source = emit_onnx(model, Path(beside), stem="graph", cast_weights=False)
        try:
            read = openvino.Core().read_model(str(source.path))
        except RuntimeError as error:
            raise UnsupportedOperationError(
                f"OpenVINO {openvino.__version__} cannot read the graph: {_reason(error)}",
                hint="Another format may work: tflite or onnx.",
            ) from error
        _simplify(read)
        xml, weights = Path(beside, f"{stem}.xml"), Path(beside, f"{stem}.bin")
        openvino.save_model(read, str(xml), compress_to_fp16=_stores_float16(model))
        xml.write_text(_compact(xml.read_text(encoding="utf-8")), encoding="utf-8")
        for file in (weights, xml):  # the file that an engine opens comes last
            file.replace(folder / file.name)
    return Artifact(
        format="openvino",
        files=(folder / f"{stem}.xml", folder / f"{stem}.bin"),
        inputs=input_specs(model),
        outputs=output_specs(model),
        operators=_operators(read),
    )


def _refuse_signed_activations(model: ir.Model) -> None:
    for node in nodes(model, "QuantizeLinear"):
        zero = node.inputs[2] if len(node.inputs) > 2 else None
        if zero is not None and zero.dtype == ir.DataType.INT8 and constant_of(node.inputs[0]) is None:
            raise UnsupportedOperationError(
                f"OpenVINO misreads signed 8-bit activations (node {node.name!r}).",
                hint="Quantize with the scheme openvino-u8s8.",
            )


def _fold_biases(model: ir.Model) -> None:
    """Write int32 biases as the float constants they stand for, in place.

    OpenVINO adds biases in float; as integers they take as many bytes and two operations each.
    """
    for node in nodes(model, "DequantizeLinear"):
        array, scale = constant_of(node.inputs[0]), constant_of(node.inputs[1])
        if array is None or scale is None or array.dtype != np.int32 or array.ndim != 1:
            continue
        values = (array.astype(np.float64) * scale.reshape(-1)).astype(np.float32)
        ir.convenience.replace_all_uses_with(
            node.outputs[0], add_constant(model, f"{node.outputs[0].name}_float", values)
        )
        model.graph.remove(node, safe=True)


def _stores_float16(model: ir.Model) -> bool:
    return any(value.dtype == ir.DataType.FLOAT16 for value in model.graph.initializers.values())


def _simplify(read: Any) -> None:
    """Run OpenVINO's common simplifications, as its own converter does: the file is up to a third smaller."""
    try:
        transformations = importlib.import_module("openvino._offline_transformations")
        transformations.apply_moc_transformations(read, cf=False)
    except (ImportError, AttributeError):  # not in every release; the engine does the same when it loads the file
        logger.info("this OpenVINO has no offline transformations; the file is larger than need be")


def _compact(text: str) -> str:
    """Drop the indentation of an IR (a fifth of small files) and number the nodes OpenVINO named by a running count.

    That count goes on through the life of the process; without it the same graph gives the same bytes.
    """

    def number(layer: re.Match[str]) -> str:
        head, name, kind = layer["head"], layer["name"], layer["kind"]
        return f'{head}{name}_{layer["id"]}" type="{kind}"' if kind in ("Const", name) else layer[0]

    text = re.sub(r">\s+<", "><", text)
    pattern = r'(?P<head><layer id="(?P<id>\d+)" name=")(?P<name>[A-Za-z]+)_\d+" type="(?P<kind>[A-Za-z]+)"'
    return re.sub(pattern, number, text)


def _operators(read: Any) -> dict[str, int]:
    counts = collections.Counter(operation.get_type_name() for operation in read.get_ops())
    return {name: n for name, n in counts.items() if name not in ("Constant", "Parameter", "Result")}


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    summary = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    return " ".join(summary or lines[-3:])[:600]
