"""Saving the Keras families as every file a user might bring; run in a process of its own.

python -m families.save_keras VERSION FOLDER FAMILY… writes FOLDER/FAMILY/. Version 3 writes `model.keras`, `saved/`
(SavedModel as Keras 3 exports it), `frozen.pb`, `model.tflite` (TensorFlow's converter) and `model.xml` (OpenVINO,
from the SavedModel); version 2 writes `model.h5` and `saved_keras/` (SavedModel with Keras' metadata) of a network of
its own. Beside them `probe_VERSION.npz` (inputs and Keras' outputs) and `saved_VERSION.json`: the inputs, the outputs,
and why a file is missing.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from families.network import Network
from families.table import build_keras


def save(name: str, folder: Path, version: str) -> dict[str, Any]:
    """Save one family in every form that this version of Keras writes; return what `saved_VERSION.json` holds."""
    keras = importlib.import_module({"2": "tf_keras", "3": "keras"}[version])
    network = build_keras(name, keras)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {key: _narrow(array) for key, array in network.draw().items()}
    answer = network.model(list(inputs.values()) if len(inputs) > 1 else next(iter(inputs.values())), training=False)
    answers = answer if isinstance(answer, list | tuple) else [answer]
    arrays = {f"in_{key}": array for key, array in inputs.items()}
    outputs = {f"out_{key}": np.asarray(one) for key, one in zip(network.outputs, answers, strict=True)}
    np.savez(folder / f"probe_{version}.npz", **arrays, **outputs)
    steps: dict[str, Callable[[], object]]
    if version == "2":
        steps = {
            "h5": lambda: network.model.save(folder / "model.h5", save_format="h5"),
            "saved_model_keras": lambda: network.model.save(folder / "saved_keras", save_format="tf"),
        }
    else:
        steps = {
            "keras": lambda: network.model.save(folder / "model.keras"),
            "saved_model": lambda: network.model.export(str(folder / "saved"), verbose=False),
            "frozen": lambda: write_frozen(network, folder / "frozen.pb"),
            "tflite": lambda: write_tflite(keras, network, folder / "model.tflite"),
            "openvino": lambda: write_openvino(folder / "saved", folder / "model.xml"),
        }
    missing = {}
    for form, step in steps.items():
        try:
            step()
        except Exception as error:  # whatever TensorFlow or OpenVINO says belongs into the table
            missing[form] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:300]
    record = {
        "inputs": {key: list(shape) for key, shape in network.shapes.items()},
        "outputs": list(network.outputs),
        "shapes": {key: list(shape) for key, shape in network.fixed_shapes().items()},
        "missing": missing,
    }
    (folder / f"saved_{version}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def write_frozen(network: Network, path: Path) -> None:
    """Write the network as a graph whose variables are constants, as TensorFlow 1 froze them."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(network.shapes, network.model.inputs, strict=True)
    ]
    function = tf.function(lambda *tensors: network.model(list(tensors) if len(tensors) > 1 else tensors[0]))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(*specs))
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())


def write_tflite(keras: Any, network: Network, path: Path) -> None:
    """Write the network with TensorFlow's converter; recurrent ones need a fixed batch there."""
    import tensorflow as tf

    try:
        data = tf.lite.TFLiteConverter.from_keras_model(network.model).convert()
    except Exception:  # the converter's own error for a recurrent network with a free batch has no type to name
        inputs = [
            keras.Input(batch_shape=(1, *shape[1:]), dtype=tensor.dtype, name=name)
            for (name, shape), tensor in zip(network.shapes.items(), network.model.inputs, strict=True)
        ]
        fixed = keras.models.clone_model(network.model, input_tensors=inputs if len(inputs) > 1 else inputs[0])
        fixed.set_weights(network.model.get_weights())
        data = tf.lite.TFLiteConverter.from_keras_model(fixed).convert()
    path.write_bytes(data)


def write_openvino(saved: Path, path: Path) -> None:
    """Write the SavedModel as OpenVINO IR, weights in float32."""
    import openvino

    openvino.save_model(openvino.convert_model(saved), path, compress_to_fp16=False)


def _narrow(array: Any) -> Any:
    return array.astype(np.int32) if array.dtype == np.int64 else array


def main() -> None:
    """Save the families named on the command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    version, folder, *names = sys.argv[1:]
    for name in names:
        record = save(name, Path(folder) / name, version)
        print(name, "missing:", record["missing"], flush=True)


if __name__ == "__main__":
    main()
