"""onnx2tf, from ONNX to TFLite.

It takes every input for channels-first unless told otherwise: maps that are channels-first are named to it as such,
everything else is named as to be left alone. Outputs that it leaves channels-last are turned back. It is kept from
fetching its sample images.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_converters.require import require
from edgeai_converters.tools.tflite_boundary import rename_boundary, turn_outputs
from edgeai_runtime.errors import UnsupportedOperationError

_SAMPLE_IMAGES = (20, 128, 128, 3)
"""What it would fetch: images to try its own output on."""


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Convert an ONNX file; the task of the child process."""
    folder = Path(request["target"]).parent / "onnx2tf"
    inputs = request["inputs"]
    maps = [spec["name"] for spec in inputs if spec["layout"] == "NCHW"]
    others = [spec["name"] for spec in inputs if spec["name"] not in maps]
    module: Any = require("onnx2tf.onnx2tf", extra="keras")
    utilities: Any = importlib.import_module("onnx2tf.utils.common_functions")
    module.download_test_image_data = utilities.download_test_image_data = _sample_images
    try:
        module.convert(
            input_onnx_file_path=request["source"],
            output_folder_path=str(folder),
            not_use_onnxsim=True,
            copy_onnx_input_output_names_to_tflite=True,
            keep_ncw_or_nchw_or_ncdhw_input_names=maps or None,
            keep_shape_absolutely_input_names=others or None,
            non_verbose=True,
            verbosity="error",
        )
    except (Exception, SystemExit) as error:  # it raises whatever the model provokes, and ends the process
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedOperationError(
            f"onnx2tf refuses the graph: {lines[0][:400]}", hint="Try the format onnx or openvino."
        ) from error
    ending = "_float16.tflite" if request["precision"] == "float16" else "_float32.tflite"
    written = [path for path in folder.iterdir() if path.name.endswith(ending)]
    if len(written) != 1:
        raise UnsupportedOperationError("onnx2tf wrote no TFLite file.", hint="The log has what it said.")
    content = rename_boundary(written[0].read_bytes(), inputs, request["outputs"])
    Path(request["target"]).write_bytes(turn_outputs(content, request["outputs"]))
    return {"notes": ["Written by onnx2tf."]}


def _sample_images() -> Any:
    return np.random.default_rng(0).random(_SAMPLE_IMAGES, np.float32)
