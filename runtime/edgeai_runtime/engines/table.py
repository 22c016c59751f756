"""The table of engines: name → class, resolved when asked, so that nothing heavy is imported to read it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

if TYPE_CHECKING:
    from edgeai_runtime.delegates.table import DelegateSpec
    from edgeai_runtime.engines.protocol import Engine
    from edgeai_runtime.manifest import Variant

ENGINES: dict[str, str] = {
    "litert": "edgeai_runtime.engines.litert:LiteRTEngine",
    "onnxruntime": "edgeai_runtime.engines.onnxruntime:OnnxRuntimeEngine",
    "openvino": "edgeai_runtime.engines.openvino:OpenVINOEngine",
    "fake": "edgeai_runtime.engines.fake:FakeEngine",
}

FORMAT_ENGINES: dict[Format, str] = {"tflite": "litert", "onnx": "onnxruntime", "openvino": "openvino"}

#: The delegate that is tried for an artifact of a format when nobody says more. All are the CPU, so that the usual way
#: to load a model needs no more of the table of delegates than these names.
DEFAULT_DELEGATES: dict[Format, str] = {
    "tflite": "litert:xnnpack",
    "onnx": "onnxruntime:cpu",
    "openvino": "openvino:cpu",
}


def is_usual(delegate: str) -> bool:
    """Say whether a delegate is one of the default ones."""
    return delegate in DEFAULT_DELEGATES.values()


def recording_delegate(variant: Variant) -> str:
    """Return the delegate that the variant's golden outputs come from."""
    measured = [measurement.delegate for measurement in variant.measurements]
    return (*measured, *variant.delegates, DEFAULT_DELEGATES[variant.format])[0]


def has_delegate(engine: str, delegate: str) -> bool:
    """Say whether a delegate is one of the engine `engine`."""
    if is_usual(delegate):
        return delegate.startswith(engine)
    from edgeai_runtime.delegates.table import find_delegate

    spec = find_delegate(delegate)
    return spec is not None and spec.engine == engine


def known_delegate(name: str) -> DelegateSpec:
    """Return a delegate's row of the table, which is imported only now."""
    from edgeai_runtime.delegates.table import DELEGATES

    return DELEGATES[name]


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
    return cast("Engine", getattr(importlib.import_module(module), attribute)())


def engine_for(format: Format) -> Engine:
    """Return the adapter of the engine that runs artifacts of `format`.

    Raises:
        UsageError: `format` is not one of the formats of a bundle.
    """
    if format not in FORMAT_ENGINES:
        raise UsageError(f"there is no format {format!r}", hint=f"formats: {', '.join(FORMAT_ENGINES)}")
    return get_engine(FORMAT_ENGINES[format])
