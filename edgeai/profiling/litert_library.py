"""LiteRT's profiler, reached in the C library that its wheel brings: no Python class of it shows it.

The functions are those of LiteRT's `litert/c/*.h`; the wheel's library exports them under a version of their own. One
got another argument between releases, and a wrong guess can crash: this module is for a child process only.
Buffers are those that the compiled model asks for; arrays are copied in once, before anything is timed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.errors import EngineError

CPU = 1
"""Bit of the set of accelerators that a model is compiled for."""

_RUN_TIME_DIR, _STRING = 22, 8
_WRITE = 1
_MOST_DIMENSIONS = 8
_Pointer = ctypes.c_void_p
_Deleter = ctypes.CFUNCTYPE(None, _Pointer)
_KEEP = _Deleter(lambda _: None)  # texts of options belong to this side


class _Usage(ctypes.Structure):
    _fields_ = (("total", ctypes.c_size_t), ("in_use", ctypes.c_size_t), ("footprint", ctypes.c_size_t))


class Event(ctypes.Structure):
    """One event of the profiler (`ProfiledEventData`).

    `kind` is a bit of tflite's `Profiler::EventType`; `node` and `subgraph` are of the operator; `start_us` is 0 for
    operators inside a delegate.
    """

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("_begin", _Usage),
        ("_end", _Usage),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class _Type(ctypes.Structure):
    _fields_ = (
        ("element", ctypes.c_int),
        ("rank", ctypes.c_uint32),  # 7 bits; one more says whether there are strides
        ("dimensions", ctypes.c_int32 * _MOST_DIMENSIONS),
        ("strides", ctypes.c_uint32 * _MOST_DIMENSIONS),
        ("_room", ctypes.c_byte * 64),
    )


class _Any(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("text", ctypes.c_char_p))


class _Option(ctypes.Structure):
    _fields_ = (("tag", ctypes.c_int), ("value", _Any))


def library_path() -> Path | None:
    """Return LiteRT's C library in the installed wheel, or `None`."""
    spec = importlib.util.find_spec("ai_edge_litert")
    suffix = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for name in (f"libLiteRt.{suffix}", f"LiteRt.{suffix}"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    return None


class ProfiledModel:
    """A model compiled with profiling on, its buffers filled.

    Args:
        library: from `library_path`.
        path: the `.tflite` file.
        inputs: arrays by name of tensor.
        accelerators: the set of bits.
        options: texts in TOML by name of a group of options (`xnnpack`: the CPU's).

    Raises:
        EngineError: LiteRT refuses, or this library is not as expected.
    """

    def __init__(
        self, library: Path, path: Path, inputs: Mapping[str, Any], *, accelerators: int, options: Mapping[str, str]
    ) -> None:
        self._library = ctypes.CDLL(str(library))
        self._kept: list[Any] = []
        folder = _Option(_RUN_TIME_DIR, _Any(_STRING, str(library.parent).encode()))
        self._environment = self._made("LiteRtCreateEnvironment", 1, ctypes.byref(folder))
        self._file = self._made("LiteRtCreateModelFromFile", self._environment, str(path).encode())
        settings = self._made("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", settings, accelerators)
        for group, text in {**options, "runtime_options_string": "enable_profiling = true\n"}.items():
            content = ctypes.create_string_buffer(text.encode())
            self._kept.append(content)
            one = self._made("LiteRtCreateOpaqueOptions", group.encode(), ctypes.cast(content, _Pointer), _KEEP)
            self._call("LiteRtAddOpaqueOptions", settings, one)
        self._model = self._made("LiteRtCreateCompiledModel", self._environment, self._file, settings)
        self._signature = self._made("LiteRtGetModelSignature", self._file, ctypes.c_size_t(0))
        self._inputs = self._bind_inputs(inputs)
        self._outputs = self._bind_outputs()
        self._profiler = self._made("LiteRtCompiledModelGetProfiler", self._model)
        if not self._profiler:
            raise EngineError("LiteRT gave no profiler to the compiled model")
        self._run_arguments = (
            self._model,
            ctypes.c_size_t(0),
            ctypes.c_size_t(len(self._inputs)),
            self._inputs,
            ctypes.c_size_t(len(self._outputs)),
            self._outputs,
        )
        self._run = self._library.LiteRtRunCompiledModel

    def start(self) -> None:
        """Record from now on."""
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)

    def run(self) -> None:
        """Run once."""
        if self._run(*self._run_arguments):
            raise EngineError("LiteRT failed while it was profiled")

    def read_events(self) -> Sequence[Event]:
        """Return what was recorded since the start, and stop; their names are valid until the next start."""
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (Event * max(count.value, 1))()
        if count.value:
            self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        self._call("LiteRtStopProfiler", self._profiler)
        return events[: count.value]

    def _bind_inputs(self, arrays: Mapping[str, Any]) -> Any:
        tensors = self._tensors("Input")
        given = (
            [arrays[name] for name, _ in tensors] if all(name in arrays for name, _ in tensors) else [*arrays.values()]
        )
        if len(given) != len(tensors):
            raise EngineError(f"LiteRT's signature has {len(tensors)} inputs, and {len(given)} arrays were given")
        buffers = []
        for index, ((_, kind), array) in enumerate(zip(tensors, given, strict=True)):
            if tuple(kind.dimensions[: array.ndim]) != array.shape:
                shape = (ctypes.c_int * array.ndim)(*array.shape)
                place = (ctypes.c_size_t(0), ctypes.c_size_t(index))
                self._call(
                    "LiteRtCompiledModelResizeInputTensor", self._model, *place, shape, ctypes.c_size_t(array.ndim)
                )
                kind.dimensions[: array.ndim] = array.shape
        for index, ((_, kind), array) in enumerate(zip(tensors, given, strict=True)):
            buffer = self._buffer("Input", index, kind)
            size, memory = ctypes.c_size_t(), _Pointer()
            self._call("LiteRtGetTensorBufferSize", buffer, ctypes.byref(size))
            if size.value < array.nbytes:
                raise EngineError(f"LiteRT's buffer of input {index} has {size.value} bytes for {array.nbytes}")
            self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(memory), _WRITE)
            ctypes.memmove(memory, np.ascontiguousarray(array).ctypes.data, array.nbytes)
            self._call("LiteRtUnlockTensorBuffer", buffer)
            buffers.append(buffer)
        return (_Pointer * len(buffers))(*buffers)

    def _bind_outputs(self) -> Any:
        tensors = self._tensors("Output")
        layouts = (_Layout * len(tensors))()
        where = (self._model, ctypes.c_size_t(0), ctypes.c_size_t(len(tensors)))
        self._call("LiteRtGetCompiledModelOutputTensorLayouts", *where, layouts, ctypes.c_bool(True))
        for (_, kind), layout in zip(tensors, layouts, strict=True):
            kind.rank, kind.dimensions = layout.rank, layout.dimensions
        buffers = [self._buffer("Output", index, kind) for index, (_, kind) in enumerate(tensors)]
        return (_Pointer * len(buffers))(*buffers)

    def _tensors(self, side: str) -> list[tuple[str, _Type]]:
        count = ctypes.c_size_t()
        self._call(f"LiteRtGetNumSignature{side}s", self._signature, ctypes.byref(count))
        found = []
        for index in range(count.value):
            tensor = self._made(f"LiteRtGetSignature{side}TensorByIndex", self._signature, ctypes.c_size_t(index))
            name, kind = ctypes.c_char_p(), _Type()
            self._call("LiteRtGetTensorName", tensor, ctypes.byref(name))
            self._call("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
            found.append(((name.value or b"").decode(errors="replace"), kind))
        return found

    def _buffer(self, side: str, index: int, kind: _Type) -> Any:
        place = (self._model, ctypes.c_size_t(0), ctypes.c_size_t(index))
        needs = self._made(f"LiteRtGetCompiledModel{side}BufferRequirements", *place)
        return self._made(
            "LiteRtCreateManagedTensorBufferFromRequirements", self._environment, ctypes.byref(kind), needs
        )

    def _made(self, name: str, *arguments: Any) -> Any:
        made = _Pointer()
        self._call(name, *arguments, ctypes.byref(made))
        return made

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            status = getattr(self._library, name)(*arguments)
        except AttributeError as error:
            raise EngineError(f"LiteRT's library has no {name}") from error
        if status:
            raise EngineError(f"LiteRT's {name} failed with status {status}")


class _Layout(ctypes.Structure):
    _fields_ = (
        ("rank", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * _MOST_DIMENSIONS),
        ("strides", ctypes.c_uint32 * _MOST_DIMENSIONS),
    )
