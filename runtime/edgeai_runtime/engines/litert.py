"""LiteRT: runs `.tflite` files with `ai-edge-litert`, else `tflite-runtime`, else TensorFlow's own interpreter.

Delegates here: `litert:xnnpack` (the CPU with XNNPACK, the default) and `litert:reference` (the slow reference kernels,
used to judge others). Operations that XNNPACK does not take run in LiteRT's built-in CPU kernels (`litert:cpu`).

A model with state (LSTM, RNN, SVDF, resource variables) keeps it between calls in LiteRT; here variables are reset
before every call, so that a call depends on its inputs alone.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.engines.artifact_file import check_artifact_file
from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.chunks import chunk_size, dtype_error, run_in_chunks, shape_error, shapes_agree
from edgeai_runtime.engines.litert_placement import describe_operations
from edgeai_runtime.engines.protocol import EngineInfo
from edgeai_runtime.errors import (
    EngineError,
    MissingEngineError,
    ModelError,
    PlacementError,
    UnsupportedOperationError,
    UsageError,
)
from edgeai_runtime.manifest import Format, Quantization, TensorSpec
from edgeai_runtime.placement import PlacementReport

INSTALL = 'pip install "edgeai-runtime[tflite]"'
RESOLVERS = {"litert:xnnpack": "AUTO", "litert:reference": "BUILTIN_REF"}

#: Where an interpreter may come from, in order: module, distribution.
_SOURCES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)

#: Operators that keep state between calls.
_STATEFUL = re.compile(
    r"LSTM|RNN|SVDF|UNIDIRECTIONAL_SEQUENCE_(LSTM|RNN)|BIDIRECTIONAL_SEQUENCE_(LSTM|RNN)"
    r"|VAR_HANDLE|READ_VARIABLE|ASSIGN_VARIABLE|CALL_ONCE"
)


class LiteRTEngine:
    """The adapter; see `protocol.Engine` for what its members promise."""

    name = "litert"
    format: Format = "tflite"

    def info(self) -> EngineInfo:
        """Say which of the three packages is used, or that none is installed."""
        try:
            _, package = _import_interpreter()
        except MissingEngineError as error:
            return EngineInfo(
                present=False, package="ai-edge-litert", version="", reason=error.message, install=INSTALL
            )
        version = importlib.metadata.version(package)
        return EngineInfo(present=True, package=package, version=version, reason="", install=INSTALL)

    def open(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> LiteRTSession:
        """Load `path`; there are no options here. See `protocol.Engine.open` for the errors."""
        if delegate not in RESOLVERS:
            raise PlacementError(f"LiteRT has no delegate {delegate!r} here", hint=f"delegates: {', '.join(RESOLVERS)}")
        if options:
            raise UsageError(f"LiteRT takes no options. Received: {', '.join(options)}")
        check_artifact_file(path, "tflite")
        return LiteRTSession(path, delegate=delegate, threads=threads)


class LiteRTSession:
    """One interpreter; see `protocol.Session` for what its members promise."""

    def __init__(self, path: Path, *, delegate: str, threads: int) -> None:
        self._path, self._delegate, self._threads = path, delegate, threads
        self._resizable = True
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._open()
        self.inputs = tuple(_spec(detail) for detail in self._interpreter.get_input_details())
        self.outputs = tuple(_spec(detail) for detail in self._interpreter.get_output_details())

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Run once; shapes are followed along free dimensions, a baked-in batch is run in chunks of its size."""
        try:
            if (len(arrays) == 1 and arrays[0].shape == self._shapes[0]) or self._fits(arrays):
                if self._reset is not None:
                    self._reset()
                for index, array in zip(self._input_indices, arrays, strict=False):
                    self._set(index, array)
                self._invoke()
                return [self._get(index) for index in self._output_indices]
        except (ValueError, RuntimeError) as error:
            raise self._run_error(arrays, error) from error
        return self._run_other_shapes(arrays)

    def placement(self) -> PlacementReport:
        """Say which operations XNNPACK took, from the interpreter's list of nodes."""
        operations = describe_operations(self._interpreter, self._delegate)
        return PlacementReport(engine="litert", delegate=self._delegate, operations=operations)

    def close(self) -> None:
        """Drop the interpreter."""
        del self._interpreter, self._set, self._get, self._invoke, self._reset

    def _open(self) -> None:
        module, package = _import_interpreter()
        resolver = module.OpResolverType[RESOLVERS[self._delegate]]
        failure: Exception | None = None
        with capture_log() as log, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's interpreter announces its own removal
            try:
                interpreter = module.Interpreter(
                    model_path=str(self._path), num_threads=self._threads, experimental_op_resolver_type=resolver
                )
                interpreter.allocate_tensors()
            except Exception as error:
                failure = error
        if failure is not None:
            raise _open_error(self._path, package, failure, log.tail()) from failure
        self._interpreter: Any = interpreter
        self._set, self._invoke, self._get = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor
        stateful = any(_STATEFUL.fullmatch(node["op_name"]) for node in _nodes(interpreter))
        self._reset = interpreter.reset_all_variables if stateful else None
        self._read_details()

    def _read_details(self) -> None:
        inputs = self._interpreter.get_input_details()
        self._input_indices = [int(detail["index"]) for detail in inputs]
        self._output_indices = [int(detail["index"]) for detail in self._interpreter.get_output_details()]
        self._shapes = tuple(tuple(int(d) for d in detail["shape"]) for detail in inputs)

    def _fits(self, arrays: Sequence[Any]) -> bool:
        return tuple(array.shape for array in arrays) == self._shapes

    def _run_other_shapes(self, arrays: Sequence[Any]) -> list[Any]:
        shapes = [tuple(array.shape) for array in arrays]
        free = shapes_agree(self.inputs, shapes)
        why = ""
        if free and self._resizable and all(all(shape) for shape in shapes):
            try:
                self._resize(shapes)
                return self.run(arrays)
            except (ValueError, RuntimeError) as error:
                why = str(error)
                self._resizable = False  # the batch is baked in, whatever the signature says
                self._open()  # an interpreter is of no use after a resize that failed
        size = chunk_size(self._shapes, shapes)
        if size is None:
            raise shape_error(self.inputs, arrays, why=why)
        return run_in_chunks(self.run, arrays, size, self.outputs)

    def _resize(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with capture_log():
            for index, shape in zip(self._input_indices, shapes, strict=False):
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
        self._shapes = tuple(shapes)

    def _run_error(self, arrays: Sequence[Any], error: Exception) -> Exception:
        for spec, array in zip(self.inputs, arrays, strict=False):
            if array.dtype != np.dtype(spec.dtype):
                return dtype_error(spec, array)
        return EngineError(f"LiteRT failed while running {self._path.name}: {error}")


def _import_interpreter() -> tuple[Any, str]:
    tried = []
    for name, package in _SOURCES:
        try:
            return importlib.import_module(name), package
        except ImportError as error:
            tried.append(f"{package}: {error}")
    raise MissingEngineError(f"no LiteRT interpreter is installed ({'; '.join(tried)})", hint=INSTALL)


def _nodes(interpreter: Any) -> Sequence[Mapping[str, Any]]:
    list_nodes = getattr(interpreter, "_get_ops_details", None)
    return list_nodes() if list_nodes is not None else ()


def _spec(detail: Mapping[str, Any]) -> TensorSpec:
    signature = detail.get("shape_signature")
    shape = signature if signature is not None and len(signature) == len(detail["shape"]) else detail["shape"]
    scale, zero_point = detail["quantization"]
    return TensorSpec(
        name=str(detail["name"]),
        shape=tuple(None if int(d) < 0 else int(d) for d in shape),
        dtype=np.dtype(detail["dtype"]).name,
        quantization=Quantization(scale=float(scale), zero_point=int(zero_point)) if scale else None,
    )


def _open_error(path: Path, package: str, error: Exception, log: str) -> Exception:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, SystemError):
        return EngineError(
            f"{package} does not work with numpy {np.__version__}: {text}{log}",
            hint=f"{INSTALL} (tflite-runtime needs numpy 1)",
        )
    if "custom op" in text.lower() or "op builtin_code out of range" in text or "not supported" in text.lower():
        return UnsupportedOperationError(
            f"LiteRT can not run {path}: {text}{log}", hint="convert it with builtin ops only"
        )
    if len(text) > 600:
        text = f"{text[:600]} …"
    return ModelError(f"LiteRT can not read {path}: {text}{log}", hint="the file is damaged or made for another engine")
