"""The one door through which heavy packages come in: imported when needed, with an error that names the extra."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from edgeai_runtime.errors import MissingEngineError

_QUIET = {
    "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
    "tensorflow": {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"},
    "openvino": {"OPENVINO_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"},
}
"""Environment set before a package is imported: no telemetry, no chatter. Values the user has set are kept."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module` (dotted names allowed) and return it.

    Args:
        module: the module to import, such as `onnxruntime` or `tf2onnx.convert`.
        extra: the extra of the distribution `edgeai` that installs it.

    Raises:
        MissingEngineError: it is not installed, or fails to import; the hint is the pip line that mends it.
    """
    for name, value in _QUIET.get(module.split(".")[0], {}).items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingEngineError(
            f"The package {module.split('.')[0]!r} is needed here and cannot be imported: {error}.",
            hint=f'pip install "edgeai[{extra}]"',
        ) from error
