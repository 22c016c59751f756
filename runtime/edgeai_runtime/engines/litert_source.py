"""Where a LiteRT interpreter comes from, what it tells of a file, and what its refusals mean.

Three packages carry one: `ai-edge-litert` (the one to install), the old `tflite-runtime` (2.14 is its last; numpy 1
only) and TensorFlow.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.errors import EdgeAIError, EngineError, MissingEngineError, ModelError, UnsupportedOperationError
from edgeai_runtime.installed import installed_version
from edgeai_runtime.manifest import Quantization, TensorSpec

INSTALL = 'pip install "edgeai-runtime[tflite]"'

#: Where an interpreter may come from, in order: module, distribution.
_SOURCES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)

#: Which inputs of these operators are their state.
_STATE_PLACES = {
    "LSTM": (18, 19),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (18, 19),
    "BIDIRECTIONAL_SEQUENCE_LSTM": (35, 36, 37, 38),
    "RNN": (4,),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (4,),
    "BIDIRECTIONAL_SEQUENCE_RNN": (4, 8),
    "SVDF": (4,),
}

#: Operators that keep state between calls.
_STATEFUL = frozenset({*_STATE_PLACES, "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})


def import_interpreter() -> tuple[Any, str]:
    """Return the module that has `Interpreter`, and the distribution it belongs to.

    Raises:
        MissingEngineError: none is installed, or only a `tflite-runtime` beside numpy 2, with which it does not work.
    """
    tried = []
    for name, package in _SOURCES:
        try:
            if package == "tflite-runtime" and int(np.__version__.partition(".")[0]) > 1:
                version = installed_version(package)
                if not version:
                    raise ImportError("not installed")
                raise ImportError(f"{version} works with numpy 1 only, and numpy {np.__version__} is installed")
            return importlib.import_module(name), package
        except ImportError as error:
            tried.append(f"{package}: {error}")
    raise MissingEngineError(
        f"no LiteRT interpreter can be used ({'; '.join(tried)})", hint=f"{INSTALL} (it brings ai-edge-litert)"
    )


def model_source(path: Path) -> dict[str, Any]:
    """Return the argument that gives an interpreter its model: the path, or what it holds when that is in memory."""
    contents = getattr(path, "contents", ())
    return {"model_content": contents[0]} if contents else {"model_path": str(path)}


def list_nodes(interpreter: Any) -> Sequence[Mapping[str, Any]]:
    """Return the operations of the main subgraph; nothing where the interpreter does not list them."""
    listing = getattr(interpreter, "_get_ops_details", None)
    return listing() if listing is not None else ()


def keeps_state(nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether an operation keeps state between calls."""
    return any(node["op_name"] in _STATEFUL for node in nodes)


def state_tensors(nodes: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the tensors that hold the state of the operations; nothing where a resource variable holds some."""
    if any("VAR" in node["op_name"] for node in nodes):
        return []
    return [
        int(node["inputs"][place])
        for node in nodes
        for place in _STATE_PLACES.get(node["op_name"], ())
        if place < len(node["inputs"]) and node["inputs"][place] >= 0
    ]


def tensor_spec(detail: Mapping[str, Any]) -> TensorSpec:
    """Return what an interpreter's detail of an input or output says."""
    signature = detail.get("shape_signature")
    shape = signature if signature is not None and len(signature) == len(detail["shape"]) else detail["shape"]
    scale, zero_point = detail["quantization"]
    return TensorSpec(
        name=str(detail["name"]),
        shape=tuple(None if int(d) < 0 else int(d) for d in shape),
        dtype=np.dtype(detail["dtype"]).name,
        quantization=Quantization(scale=float(scale), zero_point=int(zero_point)) if scale else None,
    )


def open_error(path: Path, package: str, error: Exception, log: str) -> EdgeAIError:
    """Return the error for a file that an interpreter refused, by what it said."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, SystemError):
        return EngineError(
            f"{package} does not work with numpy {np.__version__}: {text}{log}",
            hint=f"{INSTALL} (it brings ai-edge-litert; tflite-runtime needs numpy 1)",
        )
    said = (text + log).lower()
    if "older version of this builtin" in said or "op builtin_code out of range" in said:
        version = installed_version(package)
        other = "pip install -U ai-edge-litert" if package == "ai-edge-litert" else "pip install ai-edge-litert"
        return UnsupportedOperationError(
            f"{path} is too new for {package} {version}: {text}{log}",
            hint=f"{other} (it is used before {package} once it is there)"
            if package != "ai-edge-litert"
            else f"{other}, or convert the model with an older converter",
        )
    if "custom op" in said or "not supported" in text.lower():
        return UnsupportedOperationError(
            f"LiteRT cannot run {path}: {text}{log}", hint="convert it with builtin ops only"
        )
    if len(text) > 600:
        text = f"{text[:600]} …"
    return ModelError(f"LiteRT cannot read {path}: {text}{log}", hint="the file is damaged or made for another engine")
