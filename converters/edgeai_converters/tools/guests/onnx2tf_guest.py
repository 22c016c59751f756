"""onnx2tf, from ONNX to TFLite, with the inputs left as they are told to it.

It takes every input for channels-first unless told otherwise: maps that are channels-first are named to it as such,
everything else is named as to be left alone. It is kept from fetching its sample images.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

_SAMPLE_IMAGES = (20, 128, 128, 3)
"""What it would fetch: images to try its own output on."""


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Convert an ONNX file."""
    folder = Path(request["folder"]) / "onnx2tf"
    maps = [spec["name"] for spec in request["inputs"] if spec["layout"] == "NCHW"]
    others = [spec["name"] for spec in request["inputs"] if spec["name"] not in maps]
    module: Any = importlib.import_module("onnx2tf.onnx2tf")
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
        return {"refusal": f"onnx2tf refuses the graph: {lines[0][:400]}"}
    ending = "_float16.tflite" if request["precision"] == "float16" else "_float32.tflite"
    written = [path for path in folder.iterdir() if path.name.endswith(ending)]
    return {"written": str(written[0])} if len(written) == 1 else {"refusal": "onnx2tf wrote no TFLite file."}


def _sample_images() -> Any:
    numpy: Any = importlib.import_module("numpy")
    return numpy.random.default_rng(0).random(_SAMPLE_IMAGES, numpy.float32)
