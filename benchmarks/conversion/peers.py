"""Other people's converters to TFLite: `python -m conversion.peers TOOL SOURCE OUT`, each as it is documented."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

MODULES = {"litert-torch": "litert_torch", "onnx2tf": "onnx2tf", "tensorflow": "tensorflow"}
"""Tool → the module that must be there."""


def is_installed(tool: str) -> bool:
    """Say whether a tool is installed."""
    return importlib.util.find_spec(MODULES[tool]) is not None


def with_litert_torch(source: Path, out: Path) -> None:
    """Convert a `.pt2` with Google's converter for PyTorch; it takes a fixed batch."""
    import litert_torch
    import torch

    program = torch.export.load(str(source))
    shapes = [
        [size if isinstance(size, int) else 1 for size in node.meta["val"].shape]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    ]
    module = program.module()
    example = tuple(torch.zeros(shape) for shape in shapes)
    try:
        model = litert_torch.convert(module, example)
    except ValueError:  # a module of an exported program has no eval(); export it again with the batch fixed
        model = litert_torch.convert(torch.export.export(module, example).module(), example)
    model.export(str(out))


def with_onnx2tf(source: Path, out: Path) -> None:
    """Convert an ONNX file with onnx2tf, batch 1, without its own tests of the result.

    It wants 20 images to try its own work on, fetches them when they do not lie in the current folder, and takes them
    for every input of three channels; drawn ones keep it off the network and change nothing in the file it writes.
    """
    import numpy as np
    import onnx2tf

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        images = np.random.default_rng(0).random((20, 128, 128, 3), np.float32)
        np.save("calibration_image_sample_data_20x128x128x3_float32.npy", images)
        onnx2tf.convert(
            input_onnx_file_path=str(source),
            output_folder_path=folder,
            batch_size=1,
            not_use_onnxsim=True,
            non_verbose=True,
        )
        shutil.move(str(next(Path(folder).glob("*_float32.tflite"))), out)


def with_tensorflow(source: Path, out: Path) -> None:
    """Convert a Keras file with TensorFlow's converter; recurrent ones need a fixed batch there."""
    import keras
    import tensorflow as tf

    model = keras.models.load_model(source, compile=False)
    if any("GRU" in type(layer).__name__ or "LSTM" in type(layer).__name__ for layer in model.layers):
        single = keras.models.clone_model(model, input_tensors=keras.Input(batch_shape=(1, *model.input_shape[1:])))
        single.set_weights(model.get_weights())
        model = single
    out.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


CONVERTERS: dict[str, Callable[[Path, Path], None]] = {
    "litert-torch": with_litert_torch,
    "onnx2tf": with_onnx2tf,
    "tensorflow": with_tensorflow,
}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.redirect_stdout(sys.stderr):
        CONVERTERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
