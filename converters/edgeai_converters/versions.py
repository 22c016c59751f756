"""The versions of the packages that results depend on."""

from __future__ import annotations

from functools import cache
from importlib import metadata

_PACKAGES = (
    "edgeai",
    "edgeai-runtime",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "ai-edge-litert",
    "tflite-runtime",
    "openvino",
    "tensorflow",
    "keras",
    "tf-keras",
    "tf2onnx",
    "torch",
    "onnxscript",
)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for package in _PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def tool_versions() -> dict[str, str]:
    """Return the installed versions of edgeai and of every package it converts or measures with."""
    return dict(_versions())
