"""Loading a Keras file: Keras 3's own reader, with old settings mended and custom layers named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeai_converters.require import require
from edgeai_converters.sources.keras_nodes import mend_nodes
from edgeai_converters.sources.tensorflow_frozen import first_line
from edgeai_runtime.errors import ModelError, UnsupportedOperationError

_EXTRA = "keras"
_UNRECOGNIZED = re.compile(r"Unrecognized keyword arguments?(?: passed to (?P<layer>\w+))?: *(?P<words>.+)")
_CUSTOM = (
    re.compile(r"Could not locate (?:class|function) '?(?P<name>\w+)"),
    re.compile(r"Unknown \w+: '?(?P<name>\w+)"),
)
_NEUTRAL: dict[str, tuple[Any, ...] | None] = {
    "time_major": (False,),
    "groups": (1,),
    "implementation": (0, 1, 2),
    "experimental_run_tf_function": (False, True),
    "ragged": (False,),
    "sparse": (False,),
    "input_dtype": ("float32", None),
    "batch_input_shape": (None,),
    "query_shape": None,
    "key_shape": None,
    "value_shape": None,
    "softmax_robust_masking": (False, True),
}
"""Settings of older Keras that Keras 3 has no more, with the values that mean what Keras 3 does anyway; `None` is any.

The shapes of MultiHeadAttention are those it was built for, which its inputs tell again. Its robust masking differs
only where a whole row is masked.
"""


def load_keras_file(path: Path, *, workdir: Path) -> tuple[Any, list[str]]:
    """Load a `.keras` or `.h5` file, and return the model and notes.

    Settings of older Keras that Keras 3 has no more are left out of a copy of the `.h5` file, where their values change
    nothing.

    Raises:
        ModelError: the file is damaged, or of a Keras that this one does not read.
        UnsupportedOperationError: a custom layer, named; or a setting that Keras 3 has no more.
        MissingEngineError: Keras is not installed.
    """
    keras = require("keras", extra=_EXTRA)
    dropped: list[str] = []
    if path.suffix != ".keras":
        path = _rewritten(path, workdir, mend_nodes) or path
    while True:
        try:
            return keras.models.load_model(path, compile=False), _notes(dropped)
        except Exception as error:  # Keras raises whatever the file provokes: OSError, TypeError, ValueError …
            word = _unrecognized(str(error))
            if word is not None and word not in dropped and path.suffix != ".keras":
                mended = _without(path, word, workdir)
                if mended is not None:
                    path = mended
                    dropped.append(word)
                    continue
            raise _explain(error, path, keras.__version__) from error


def _notes(dropped: list[str]) -> list[str]:
    return [f"Settings of older Keras that change nothing were left out: {', '.join(dropped)}."] if dropped else []


def _unrecognized(message: str) -> str | None:
    """Return the first setting that Keras did not know, or `None`."""
    found = _UNRECOGNIZED.search(message)
    names = re.findall(r"'(\w+)'", found["words"]) if found is not None else []
    return names[0] if names and names[0] in _NEUTRAL else None


def _without(path: Path, word: str, workdir: Path) -> Path | None:
    """Write a copy of an `.h5` file without a setting; `None` when one of its values would mean something."""
    return _rewritten(path, workdir, lambda config: _drop(config, word))


def _rewritten(path: Path, workdir: Path, change: Callable[[Any], bool]) -> Path | None:
    """Write a copy of an `.h5` file with its configuration changed; `None` when the change says no, or it has none."""
    h5py = require("h5py", extra=_EXTRA)
    try:
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])
    except (OSError, KeyError, ValueError):  # no HDF5 file, or without a configuration: Keras tells what is wrong
        return None
    if not change(config):
        return None
    mended = workdir / "mended.h5"
    if path != mended:
        shutil.copyfile(path, mended)
        mended.chmod(0o644)
    with h5py.File(mended, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    return mended


def _drop(item: Any, word: str) -> bool:
    """Leave a setting out of all layers, in place; tell whether all its values were neutral."""
    if isinstance(item, list):
        return False not in [_drop(entry, word) for entry in item]
    if not isinstance(item, dict):
        return True
    config = item.get("config") if "class_name" in item else None
    if isinstance(config, dict) and word in config:
        neutral = _NEUTRAL[word]
        if neutral is not None and config[word] not in neutral:
            return False
        keeps = word == "groups" and item["class_name"] in ("Conv1D", "Conv2D", "Conv3D")
        if not keeps:
            del config[word]
    return False not in [_drop(entry, word) for entry in item.values()]


def _explain(error: Exception, path: Path, version: str) -> ModelError:
    message = str(error)
    for pattern in _CUSTOM:
        found = pattern.search(message)
        if found is not None:
            return ModelError(
                f"{path} holds the custom layer or function {found['name']!r}, whose code is not in the file.",
                hint="Load the model in Python with your layer (custom_objects=…) and give it as a live object, "
                "or export it there: model.export(folder) writes a SavedModel, which needs no code.",
            )
    unrecognized = _UNRECOGNIZED.search(message)
    if unrecognized is not None:
        return UnsupportedOperationError(
            f"Keras {version} does not know a setting of {path}: {unrecognized[0][:300]}",
            hint="Load it with the Keras that wrote it, and export a SavedModel there.",
        )
    return ModelError(
        f"Keras {version} cannot read {path}: {type(error).__name__}: {first_line(error)}",
        hint="Copy a damaged file again; where Keras itself cannot read its .h5 (attention layers), save as .keras; "
        "a model with custom layers can be given as a live object or a SavedModel.",
    )
