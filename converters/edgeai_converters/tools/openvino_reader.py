"""OpenVINO's own readers, from ONNX, TFLite, SavedModel and frozen TensorFlow graphs to OpenVINO IR."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeai_converters.require import require
from edgeai_runtime.errors import UnsupportedOperationError


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Read a file and save it as IR; the task of the child process."""
    openvino = require("openvino", extra="openvino")
    try:
        model = openvino.Core().read_model(request["source"])
        shapes = _name(model.inputs, request["inputs"], "inputs")
        _name(model.outputs, request["outputs"], "outputs")
        model.reshape({place: openvino.PartialShape(shape) for place, shape in shapes.items()})
        _simplify(model)
        openvino.save_model(model, request["target"], compress_to_fp16=request["precision"] == "float16")
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        name, reason = Path(request["source"]).name, " ".join(lines[-3:])[:600]
        raise UnsupportedOperationError(
            f"OpenVINO {openvino.__version__} cannot read {name}: {reason}",
            hint="Another format may work: tflite or onnx.",
        ) from error
    return {"notes": ["Read by OpenVINO itself."]}


def _simplify(model: Any) -> None:
    """Run OpenVINO's common simplifications, where this release has them; the engine does the same when it loads."""
    try:
        transformations = importlib.import_module("openvino._offline_transformations")
        transformations.apply_moc_transformations(model, cf=False)
    except (ImportError, AttributeError):
        return


def _name(ports: Sequence[Any], specs: Sequence[dict[str, Any]], what: str) -> dict[int, list[int]]:
    """Give the ports the source's names, and return the wanted shape by place of the port."""
    if len(ports) != len(specs):
        raise UnsupportedOperationError(f"OpenVINO finds {len(ports)} {what}. The source has {len(specs)}.")
    by_name = {name.split(":")[0]: i for i, port in enumerate(ports) for name in port.names}
    named = all(spec["name"] in by_name for spec in specs)
    shapes = {}
    for position, spec in enumerate(specs):
        place = by_name[spec["name"]] if named else position
        ports[place].get_tensor().set_names({spec["name"]})
        shapes[place] = [-1 if size is None else size for size in spec["shape"]]
    return shapes
