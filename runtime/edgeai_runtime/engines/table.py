"""The table of engines: name → class, resolved when asked, so that nothing heavy is imported to read it."""

from __future__ import annotations

import importlib
from typing import cast

from edgeai_runtime.engines.protocol import Engine
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

ENGINES: dict[str, str] = {
    "litert": "edgeai_runtime.engines.litert:LiteRTEngine",
    "onnxruntime": "edgeai_runtime.engines.onnxruntime:OnnxRuntimeEngine",
    "openvino": "edgeai_runtime.engines.openvino:OpenVINOEngine",
    "fake": "edgeai_runtime.engines.fake:FakeEngine",
}

FORMAT_ENGINES: dict[Format, str] = {"tflite": "litert", "onnx": "onnxruntime", "openvino": "openvino"}


def get_engine(name: str) -> Engine:
    """Return the adapter of the engine `name` (`litert`, `onnxruntime`, `openvino`, `fake`).

    The engine itself need not be installed: ask `.info()`.

    Raises:
        UsageError: there is no engine of that name.
    """
    if name not in ENGINES:
        import difflib

        near = difflib.get_close_matches(name, ENGINES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"engines: {', '.join(FORMAT_ENGINES.values())}"
        raise UsageError(f"there is no engine {name!r}", hint=hint)
    module, _, attribute = ENGINES[name].partition(":")
    return cast(Engine, getattr(importlib.import_module(module), attribute)())


def engine_for(format: Format) -> Engine:
    """Return the adapter of the engine that runs artifacts of `format`.

    Raises:
        UsageError: `format` is not one of the formats of a bundle.
    """
    if format not in FORMAT_ENGINES:
        raise UsageError(f"there is no format {format!r}", hint=f"formats: {', '.join(FORMAT_ENGINES)}")
    return get_engine(FORMAT_ENGINES[format])
