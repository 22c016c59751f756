"""Bringing any ONNX model to the form the house works on.

After `prepare_graph`: operators of the default domain at opset 18 or newer, functions inlined, constants in
initializers (never among the inputs), free dimensions of inputs named, shapes inferred, unique names.
"""

from __future__ import annotations

import onnx
import onnx.version_converter
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edgeai_converters.graph.dilate import dilate
from edgeai_converters.graph.shapes import infer_shapes, name_free_dims
from edgeai_runtime.errors import ModelError

OPSET = 18
IR_VERSION = 10


def prepare_graph(proto: onnx.ModelProto, *, what: str = "the model") -> ir.Model:
    """Return the graph of an ONNX model; `proto` may be changed.

    Args:
        proto: a checked model with its constants loaded.
        what: the model, for messages.

    Raises:
        ModelError: the operators cannot be raised to opset 18.
    """
    version = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), None)
    if version is not None and version < OPSET:
        proto = _raise_opset(proto, version, what)
    model = ir.from_proto(proto)
    model.ir_version = max(IR_VERSION, model.ir_version)
    common_passes.RemoveInitializersFromInputsPass()(model)
    dilate(model)
    common_passes.InlinePass()(model)
    common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common_passes.NameFixPass()(model)
    common_passes.TopologicalSortPass()(model)
    name_free_dims(model)
    infer_shapes(model)
    return model


def _raise_opset(proto: onnx.ModelProto, version: int, what: str) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(proto, OPSET)
    except Exception as error:  # the converter raises RuntimeError and its own ConvertError
        raise ModelError(
            f"{what} uses ONNX opset {version}, which cannot be raised to {OPSET}: {str(error).strip()}",
            hint=f"Export the model again with opset {OPSET} or newer.",
        ) from error
