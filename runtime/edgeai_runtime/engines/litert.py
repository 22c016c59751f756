"""LiteRT: runs `.tflite` files with `ai-edge-litert`, else `tflite-runtime`, else TensorFlow's own interpreter.

In this module: `litert:xnnpack` (the CPU with XNNPACK, the default), `litert:reference` (the slow reference kernels,
used to judge others), and the delegates that are shared libraries (`litert_external.py`). The GPU and the NPU go
through LiteRT's other API, in `litert_compiled.py`. Operations that a delegate does not take run in XNNPACK or in
LiteRT's built-in CPU kernels (`litert:cpu`).

A model with state (LSTM, RNN, SVDF, resource variables) keeps it between calls in LiteRT; here variables are reset
before every call, so that a call depends on its inputs alone; a session of a stream keeps them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.delegates.options import check_options
from edgeai_runtime.engines.artifact_file import check_artifact_file
from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.chunks import chunk_size, dtype_error, run_in_chunks, shape_error, shapes_agree
from edgeai_runtime.engines.litert_source import (
    INSTALL,
    import_interpreter,
    keeps_state,
    list_nodes,
    model_source,
    open_error,
    state_tensors,
    tensor_spec,
)
from edgeai_runtime.engines.table import has_delegate, known_delegate
from edgeai_runtime.errors import EngineError, MissingEngineError, PlacementError, UsageError
from edgeai_runtime.installed import installed_version
from edgeai_runtime.manifest import Format
from edgeai_runtime.placement import Device, OperationPlacement, PlacementReport

if TYPE_CHECKING:
    from edgeai_runtime.engines.protocol import EngineInfo, Session

RESOLVERS = {"litert:xnnpack": "AUTO", "litert:reference": "BUILTIN_REF"}


class LiteRTEngine:
    """The adapter; see `protocol.Engine` for what its members promise."""

    name = "litert"
    format: Format = "tflite"

    def info(self) -> EngineInfo:
        """Say which of the three packages is used, or that none is installed."""
        from edgeai_runtime.engines.protocol import EngineInfo

        try:
            _, package = import_interpreter()
        except MissingEngineError as error:
            return EngineInfo(
                present=False, package="ai-edge-litert", version="", reason=error.message, install=INSTALL
            )
        return EngineInfo(present=True, package=package, version=installed_version(package), reason="", install=INSTALL)

    def open(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> Session:
        """Load `path`; the options are those of the table of delegates. See `protocol.Engine.open` for the errors."""
        if not has_delegate(self.name, delegate):
            raise PlacementError(f"LiteRT has no delegate {delegate!r} here", hint="`devices` lists those it has")
        options = check_options(delegate, options)
        check_artifact_file(path, "tflite")
        if delegate in ("litert:gpu", "litert:npu"):
            from edgeai_runtime.engines.litert_compiled import CompiledSession

            return CompiledSession(path, delegate=delegate, threads=threads, options=options)
        return LiteRTSession(path, delegate=delegate, threads=threads, options=options)


class LiteRTSession:
    """One interpreter; see `protocol.Session` for what its members promise."""

    def __init__(
        self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str], keep_state: bool = False
    ) -> None:
        self._path, self._delegate, self._threads, self._options = path, delegate, threads, options
        self._keep = keep_state
        self._resizable = delegate in RESOLVERS  # a library's delegate stays with the shapes it was given
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._open()
        self.inputs = tuple(tensor_spec(detail) for detail in self._interpreter.get_input_details())
        self.outputs = tuple(tensor_spec(detail) for detail in self._interpreter.get_output_details())

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

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], object] | None:
        """Return a call that copies from and into these arrays and makes none; `None` where that cannot be."""
        if not self._fits(inputs):
            return None
        copyto, interpreter, shapes = np.copyto, self._interpreter, self._shapes
        sources = [(interpreter.tensor(index), array) for index, array in zip(self._input_indices, inputs, strict=True)]
        targets = [(interpreter.tensor(index), a) for index, a in zip(self._output_indices, outputs, strict=True)]

        def call() -> None:
            if self._interpreter is not interpreter or self._shapes is not shapes:  # another batch came in between
                for array, result in zip(outputs, self.run(inputs), strict=True):
                    copyto(array, result)
                return
            if self._reset is not None:
                self._reset()
            try:
                for view, array in sources:
                    copyto(view(), array)
                self._invoke()
                for view, array in targets:
                    copyto(array, view())
            except (ValueError, RuntimeError) as error:
                raise self._run_error(inputs, error) from error

        return call

    def replicas(self, count: int, threads: int) -> list[LiteRTSession]:
        """Return sessions for `count` threads at once, an interpreter each; the file is mapped once."""
        return [
            LiteRTSession(self._path, delegate=self._delegate, threads=threads, options=self._options)
            for _ in range(count)
        ]

    def open_stream(self) -> LiteRTSession | None:
        """Return another session that keeps its variables from run to run; `None` where the model has none."""
        if self._state is None:
            return None
        return LiteRTSession(
            self._path, delegate=self._delegate, threads=self._threads, options=self._options, keep_state=True
        )

    def reset_state(self) -> None:
        """Set the variables to their first values."""
        self._interpreter.reset_all_variables()

    def get_state(self) -> tuple[Any, list[Any]]:
        """Return the shapes of the inputs and copies of the variables.

        Raises:
            UsageError: there are resource variables, which LiteRT does not show.
        """
        if not self._state:
            raise UsageError(
                f"LiteRT does not show the resource variables of {self._path.name}: a stream of it cannot be cloned"
            )
        return self._shapes, [self._get(index) for index in self._state]

    def set_state(self, state: tuple[Any, list[Any]]) -> None:
        """Set the variables to what `get_state` gave."""
        shapes, arrays = state
        if shapes != self._shapes:
            self._resize(shapes)
        for index, array in zip(self._state or (), arrays, strict=True):
            self._set(index, array)

    def placement(self) -> PlacementReport:
        """Say which operations each delegate took, from the interpreter's list of nodes."""
        return PlacementReport(engine="litert", delegate=self._delegate, operations=self._describe())

    def close(self) -> None:
        """Drop the interpreter."""
        del self._interpreter, self._set, self._get, self._invoke, self._reset

    def _open(self) -> None:
        module, package = import_interpreter()
        resolver = module.OpResolverType[RESOLVERS.get(self._delegate, "AUTO")]
        delegates = []
        if self._delegate not in RESOLVERS:
            from edgeai_runtime.engines.litert_external import load_library

            delegates.append(load_library(module, self._delegate, self._options))
        failure: Exception | None = None
        self._foreign_partitions = 0
        with capture_log() as log, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's interpreter announces its own removal
            try:
                interpreter = module.Interpreter(
                    **model_source(self._path),
                    num_threads=self._threads,
                    experimental_op_resolver_type=resolver,
                    experimental_delegates=delegates or None,
                )
                if delegates:  # XNNPACK comes later, when tensors are allocated
                    self._foreign_partitions = sum(n["op_name"] == "DELEGATE" for n in list_nodes(interpreter))
                interpreter.allocate_tensors()
            except Exception as error:
                failure = error
        if failure is not None and delegates and "delegate" in str(failure).lower():
            raise PlacementError(f"{self._delegate} refuses {self._path.name}: {failure}{log.tail()}") from failure
        if failure is not None:
            raise open_error(self._path, package, failure, log.tail()) from failure
        self._interpreter: Any = interpreter
        self._set, self._invoke, self._get = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor
        nodes = list_nodes(interpreter)
        if delegates and nodes and not self._foreign_partitions:
            raise PlacementError(
                f"{self._delegate} takes none of the {sum(n['op_name'] != 'DELEGATE' for n in nodes)} operations of "
                f"{self._path.name}; it would run on the CPU{log.tail()}",
                hint="convert the model as this device needs it: most take int8 only, some need their own compiler",
            )
        self._state = state_tensors(nodes) if keeps_state(nodes) else None
        self._reset = interpreter.reset_all_variables if self._state is not None and not self._keep else None
        self._read_details()

    def _describe(self) -> tuple[OperationPlacement, ...]:
        device: Device = "cpu"
        if self._delegate not in RESOLVERS:
            from edgeai_runtime.engines.litert_external import device_of

            device = device_of(self._delegate, known_delegate(self._delegate).device, self._options)
        from edgeai_runtime.engines.litert_placement import describe_operations

        return describe_operations(self._interpreter, self._delegate, device, self._foreign_partitions)

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
        if size is None or self._keep:  # one sample is not what the next one goes on from
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
