"""Writing the graph as OpenVINO IR: `<stem>.xml` with `<stem>.bin`.

OpenVINO's own ONNX reader does the work. Integers stay integers in the file: weights as int8 constants with their
scales, activations as FakeQuantize. OpenVINO's Python converter is not used, since it may send usage data.
"""

from __future__ import annotations

import collections
import shutil
import tempfile
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.edit import constant_of, nodes
from edgeai_converters.require import require
from edgeai_runtime.errors import UnsupportedOperationError


def emit_openvino(model: ir.Model, folder: Path, *, stem: str = "model") -> Artifact:
    """Write `<stem>.xml` and `<stem>.bin`.

    Args:
        model: the graph; not changed. Activations must be quantized unsigned: OpenVINO misreads signed ones.
        folder: an existing folder.
        stem: name of the files without suffix.

    Raises:
        UnsupportedOperationError: OpenVINO's reader does not take an operation of the graph.
        MissingEngineError: OpenVINO is not installed.
    """
    openvino = require("openvino", extra="openvino")
    _refuse_signed_activations(model)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{stem}-") as beside:
        try:
            read = openvino.Core().read_model(
                str(emit_onnx(model, Path(beside), stem="graph", cast_weights=False).path)
            )
        except RuntimeError as error:
            raise UnsupportedOperationError(
                f"OpenVINO {openvino.__version__} can not read the graph: {_reason(error)}",
                hint="Another format may work: tflite or onnx.",
            ) from error
        openvino.save_model(read, str(Path(beside, f"{stem}.xml")), compress_to_fp16=False)
        for suffix in (".bin", ".xml"):  # the file that an engine opens comes last
            shutil.move(Path(beside, f"{stem}{suffix}"), folder / f"{stem}{suffix}")
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


def _operators(read: Any) -> dict[str, int]:
    counts = collections.Counter(operation.get_type_name() for operation in read.get_ops())
    return {name: n for name, n in counts.items() if name not in ("Constant", "Parameter", "Result")}


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[-3:])[:600]
