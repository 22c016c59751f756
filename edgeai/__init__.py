"""edgeai: compress trained models for edge devices, prove that they kept their accuracy, run them where you asked.

The names below are loaded when they are first used, so that `import edgeai` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgeai.api import (
        bench,
        build,
        check,
        compress,
        convert,
        diff,
        distill,
        doctor,
        export,
        inspect,
        load,
        prune,
        quantize,
        verify,
    )
    from edgeai.result import CompressResult

__all__ = [
    "CompressResult",
    "__version__",
    "bench",
    "build",
    "check",
    "compress",
    "convert",
    "diff",
    "distill",
    "doctor",
    "export",
    "inspect",
    "load",
    "prune",
    "quantize",
    "verify",
]

_LAZY = {name: "edgeai.api" for name in __all__ if name != "__version__"} | {"CompressResult": "edgeai.result"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'edgeai' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
