"""One OpenVINO model that is loaded: run, bound to arrays, doubled for threads, its state kept or reset."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.engines.captured_log import capture_log, say_debug
from edgeai_runtime.engines.chunks import chunk_size, dtype_error, run_in_chunks, shape_error, shapes_agree
from edgeai_runtime.engines.openvino_compiled import Compiled, CompiledModels, Shapes
from edgeai_runtime.engines.openvino_library import (
    CPU,
    DIMENSION,
    core,
    direct_infer,
    import_openvino,
    make_properties,
    short,
    tensor_spec,
)
from edgeai_runtime.engines.openvino_placement import list_operations
from edgeai_runtime.engines.table import known_delegate
from edgeai_runtime.errors import EngineError, ModelError, PlacementError
from edgeai_runtime.manifest import TensorSpec
from edgeai_runtime.placement import PlacementReport


class OpenVINOSession:
    """One model, compiled per shape; see `protocol.Session` for what its members promise."""

    def __init__(
        self,
        path: Path,
        *,
        delegate: str,
        threads: int,
        options: Mapping[str, str],
        compiled: tuple[Mapping[str, Any], Any] | None = None,
    ) -> None:
        self._path, self._delegate, self._threads, self._options = path, delegate, threads, options
        self._models = models = CompiledModels(path, delegate, make_properties(delegate, threads, options))
        self._keeps_state = False
        if compiled is None:
            self.inputs = tuple(tensor_spec(port, f"input_{i}") for i, port in enumerate(models.source.inputs))
            self.outputs = tuple(tensor_spec(port, f"output_{i}") for i, port in enumerate(models.source.outputs))
        else:
            self.inputs, self.outputs = (
                tuple(TensorSpec(name=name, shape=tuple(shape), dtype=dtype) for name, shape, dtype in specs)
                for specs in compiled[0]["boundary"]
            )
        self._dtypes = [np.dtype(spec.dtype) for spec in self.inputs]
        self._shapes: Shapes = tuple(
            tuple(
                size or int(options.get(f"{DIMENSION}{spec.name}.{axis}", not axis))
                for axis, size in enumerate(spec.shape)
            )
            for spec in self.inputs
        )
        self._static = all(0 not in shape for shape in self._shapes)
        if not self._static and delegate != CPU and known_delegate(delegate).static_shapes:
            raise PlacementError(
                f"{delegate} needs fixed shapes, and {path.name} has free ones: {[spec.shape for spec in self.inputs]}",
                hint="convert the model with fixed input shapes",
            )
        failure: Exception | None = None
        shapes = self._shapes if self._static else None
        with capture_log() as log:
            try:
                if compiled is None:
                    first = models.compile(shapes)
                else:
                    first = models.read_compiled(shapes, compiled[1])
                self._resets = models.has_state
                self._current: Compiled | None = first if self._static else None
                self._any_shape: Compiled | None = None if self._static else first
            except RuntimeError as error:
                failure = error
        if failure is not None and delegate != CPU:
            raise PlacementError(
                f"{delegate} cannot be used for {path.name}: {short(failure)}{log.tail()}",
                hint="check that the hardware is there and its driver is installed",
            ) from failure
        if failure is not None:
            raise ModelError(f"OpenVINO cannot compile {path}: {short(failure)}{log.tail()}") from failure

    def export(self) -> tuple[dict[str, Any], bytes]:
        """Return the compiled model as bytes, and the boundary of the artifact that was compiled."""
        compiled = self._current or self._any_shape
        assert compiled is not None, "a session is compiled when it is made"
        stream = io.BytesIO()
        compiled.model.export_model(stream)
        boundary = [[[spec.name, spec.shape, spec.dtype] for spec in specs] for specs in (self.inputs, self.outputs)]
        return {"boundary": boundary}, stream.getvalue()

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Run once; a new batch size is compiled for, a baked-in batch is run in chunks of its size."""
        current = self._current
        if current is None or tuple([array.shape for array in arrays]) != self._shapes:
            current = self._for_shapes(arrays)
            if current is None:
                return self._run_other_shapes(arrays)
        for array, dtype, target in zip(arrays, self._dtypes, current.inputs, strict=False):
            if array.dtype != dtype:
                raise self._wrong_dtype(arrays)
            target[...] = array
        try:
            if self._resets:
                current.request.reset_state()
            current.infer()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed while running {self._path.name}: {short(error)}") from error
        if current.outputs is not None:
            return [output.copy() for output in current.outputs]
        return [current.request.get_output_tensor(index).data.copy() for index in range(len(self.outputs))]

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], object] | None:
        """Return a call that runs from and into the memory of these arrays; `None` where they have to be copied."""
        current = self._current if tuple(a.shape for a in inputs) == self._shapes else self._for_shapes(inputs)
        if current is None or current.outputs is None:
            return None
        make = import_openvino().Tensor
        try:
            request = current.model.create_infer_request()
            for index, array in enumerate(inputs):
                request.set_input_tensor(index, make(array, shared_memory=True))
            for index, array in enumerate(outputs):
                request.set_output_tensor(index, make(array, shared_memory=True))
        except (RuntimeError, ValueError, TypeError) as error:
            say_debug(__name__, f"not bound: {error}")
            return None
        infer = direct_infer(request)

        def call() -> None:
            try:
                if self._resets:
                    request.reset_state()
                infer()
            except RuntimeError as error:
                raise EngineError(f"OpenVINO failed while running {self._path.name}: {short(error)}") from error

        return call

    def replicas(self, count: int, threads: int) -> list[OpenVINOSession]:
        """Return sessions for `count` threads at once: requests of one compiled model with `count` streams."""
        options = {**self._options, "NUM_STREAMS": str(count)} if count > 1 else self._options
        if "NUM_STREAMS" not in known_delegate(self._delegate).options:
            options = self._options
        whole, sessions = self, []
        if options != self._options or (threads * count != self._threads and self._delegate == CPU):
            whole = OpenVINOSession(self._path, delegate=self._delegate, threads=threads * count, options=options)
            sessions.append(whole)
        while len(sessions) < count:
            other = copy.copy(whole)
            other._models = models = whole._models.another()
            if whole._current is not None:
                other._current = models.keep(whole._shapes, whole._current.model)
            if whole._any_shape is not None:
                other._any_shape = models.keep(None, whole._any_shape.model)
            sessions.append(other)
        return sessions

    def open_stream(self) -> OpenVINOSession | None:
        """Return another session that keeps its variables from run to run; `None` where the model has none."""
        current = self._current or self._any_shape
        if current is None or not current.request.query_state():
            return None
        (other,) = self.replicas(1, self._threads)
        other._keeps_state, other._resets = True, False
        return other

    def reset_state(self) -> None:
        """Set the variables to their first values."""
        for entry in (*self._models.kept(), self._any_shape):
            if entry is not None:
                entry.request.reset_state()

    def get_state(self) -> tuple[Any, list[Any]]:
        """Return the shapes of the inputs and copies of the variables."""
        entry = self._current or self._any_shape
        assert entry is not None, "a session is compiled when it is made"
        return self._shapes, [variable.state.data.copy() for variable in entry.request.query_state()]

    def set_state(self, state: tuple[Any, list[Any]]) -> None:
        """Set the variables to what `get_state` gave."""
        shapes, arrays = state
        if self._static and shapes != self._shapes:
            self._current, self._shapes = self._models.compile(shapes), shapes
        entry = self._current or self._any_shape
        assert entry is not None, "a session is compiled when it is made"
        for variable, array in zip(entry.request.query_state(), arrays, strict=True):
            variable.state = import_openvino().Tensor(array)

    def placement(self) -> PlacementReport:
        """Say what the compiled graph consists of: operations after fusion, each with its device and kernel."""
        compiled = self._current or self._any_shape
        assert compiled is not None, "a session without a compiled model has no placement"
        split: Mapping[str, str] | None = None
        if self._delegate == "openvino:hetero":
            with suppress(RuntimeError):
                split = core().query_model(self._models.source, self._models.device)
        wanted = known_delegate(self._delegate).device
        operations = list_operations(compiled.model, self._delegate, wanted, split)
        return PlacementReport(engine="openvino", delegate=self._delegate, operations=operations)

    def close(self) -> None:
        """Drop every compiled model."""
        self._models.close()
        self._current = self._any_shape = None

    def _for_shapes(self, arrays: Sequence[Any]) -> Compiled | None:
        """Return the model compiled for the shapes of `arrays`, or `None` when it has to go another way."""
        shapes = tuple(tuple(array.shape) for array in arrays)
        entry = self._models.find(shapes) if self._static and shapes_agree(self.inputs, shapes) else None
        if entry is not None:
            self._current, self._shapes = entry, shapes
        return entry

    def _run_other_shapes(self, arrays: Sequence[Any]) -> list[Any]:
        shapes = [tuple(array.shape) for array in arrays]
        fits = shapes_agree(self.inputs, shapes)
        if fits and not self._static and self._any_shape is not None:
            if any(array.dtype != dtype for array, dtype in zip(arrays, self._dtypes, strict=False)):
                raise self._wrong_dtype(arrays)
            try:
                if self._resets:
                    self._any_shape.request.reset_state()
                results = self._any_shape.request.infer(list(arrays))
            except RuntimeError as error:
                raise shape_error(self.inputs, arrays, why=short(error)) from error
            return [results[index] for index in range(len(self.outputs))]
        size = chunk_size([spec.shape for spec in self.inputs], shapes)
        if size is None or self._keeps_state:
            raise shape_error(self.inputs, arrays)
        return run_in_chunks(self.run, arrays, size, self.outputs)

    def _wrong_dtype(self, arrays: Sequence[Any]) -> Exception:
        for spec, array, dtype in zip(self.inputs, arrays, self._dtypes, strict=False):
            if array.dtype != dtype:
                return dtype_error(spec, array)
        raise AssertionError("no array has a wrong dtype")
