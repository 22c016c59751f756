"""Running a TFLite file in LiteRT as it is: the task of the reader's child process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.require import require
from edgeai_converters.sources.probe import load_arrays, run_in_pieces, save_arrays
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import TensorSpec


def run_file(request: dict[str, Any]) -> dict[str, Any]:
    """Run a file on the probe inputs; integers at its boundary are made from floats and back to floats.

    Args:
        request: `path` of the file, `folder` with `probe_inputs.npz`, names of the `inputs` in the file's order.

    Returns:
        `outputs`: numbers of the arrays in `probe_outputs.npz`, in the file's order.

    Raises:
        ModelError: LiteRT does not load or run the file.
    """
    folder = Path(request["folder"])
    litert = require("ai_edge_litert.interpreter", extra="tflite")
    inputs = load_arrays(folder / "probe_inputs.npz", request["inputs"])
    try:
        outputs = _run(litert.Interpreter(request["path"], num_threads=1), inputs)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip() or type(error).__name__
        raise ModelError(f"LiteRT cannot run {request['path']}: {reason}", hint="The file may be damaged.") from error
    return {"outputs": save_arrays(folder / "probe_outputs.npz", outputs)}


def _run(interpreter: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    specs = [
        TensorSpec(name=name, shape=_shape(detail), dtype="float32")
        for name, detail in zip(inputs, details, strict=True)
    ]

    def call(feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        for array, detail in zip(feed.values(), details, strict=True):
            if tuple(detail["shape"]) != array.shape:
                interpreter.resize_tensor_input(detail["index"], array.shape)
        interpreter.allocate_tensors()
        interpreter.reset_all_variables()  # recurrent layers keep their state: a sample must not see the one before
        for array, detail in zip(feed.values(), details, strict=True):
            interpreter.set_tensor(detail["index"], _stored(array, detail))
        interpreter.invoke()
        return [_real(interpreter.get_tensor(detail["index"]), detail) for detail in interpreter.get_output_details()]

    return {str(number): array for number, array in enumerate(run_in_pieces(specs, inputs, call))}


def _shape(detail: dict[str, Any]) -> tuple[int | None, ...]:
    signature = detail.get("shape_signature", detail["shape"])
    return tuple(None if size < 0 else int(size) for size in signature)


def _stored(array: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    if not scale or dtype.kind not in "iu":
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(array / scale) + zero_point, limits.min, limits.max), dtype)


def _real(array: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero_point = detail["quantization"]
    if not scale or array.dtype.kind not in "iu":
        return array.copy()
    return np.asarray((array.astype(np.int64) - zero_point) * scale, np.float32)
