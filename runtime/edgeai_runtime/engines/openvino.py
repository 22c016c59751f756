"""OpenVINO: runs OpenVINO IR (`.xml` + `.bin`) on the CPU, GPU, NPU, or on what AUTO and HETERO choose.

The inference precision is pinned to float32 unless an option says otherwise: OpenVINO computes in bf16, unasked, on
processors that have it, and in f16 on GPUs. An NPU has no float32 and is not pinned.
Variables (ReadValue, Assign) are reset before every call, except in a session of a stream.
When only the batch is free, the model is compiled for a batch of one first and again for another batch when one comes
(a few are kept): static shapes are faster and their memory is flat.
"""

from __future__ import annotations

import copy
import functools
import importlib
import io
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.delegates.options import check_options
from edgeai_runtime.engines.artifact_file import check_artifact_file
from edgeai_runtime.engines.captured_log import capture_log, say_debug
from edgeai_runtime.engines.chunks import chunk_size, dtype_error, run_in_chunks, shape_error, shapes_agree
from edgeai_runtime.engines.openvino_placement import list_operations
from edgeai_runtime.engines.table import known_delegate
from edgeai_runtime.errors import EngineError, MissingEngineError, ModelError, PlacementError
from edgeai_runtime.manifest import Format, TensorSpec
from edgeai_runtime.placement import PlacementReport
from edgeai_runtime.record import dataclass

if TYPE_CHECKING:
    from edgeai_runtime.engines.protocol import EngineInfo

INSTALL = 'pip install "edgeai-runtime[openvino]"'
DEVICES = {f"openvino:{name}": name.upper() for name in ("cpu", "gpu", "npu", "auto", "hetero")}
_CPU = "openvino:cpu"
_KEPT_SHAPES = 4

_Shapes = tuple[tuple[int, ...], ...]


class OpenVINOEngine:
    """The adapter; see `protocol.Engine` for what its members promise."""

    name = "openvino"
    format: Format = "openvino"

    def info(self) -> EngineInfo:
        """Say whether OpenVINO is installed and imports."""
        from edgeai_runtime.engines.protocol import EngineInfo

        try:
            version = str(_import().__version__).partition("-")[0]
        except MissingEngineError as error:
            return EngineInfo(present=False, package="openvino", version="", reason=error.message, install=INSTALL)
        return EngineInfo(present=True, package="openvino", version=version, reason="", install=INSTALL)

    def open(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> OpenVINOSession:
        """Load `path`; `options` are those of the delegate in the table. Errors: see `protocol.Engine.open`."""
        return self.open_compiled(path, {}, None, delegate=delegate, threads=threads, options=options)

    def open_compiled(
        self, path: Path, info: Mapping[str, Any], blob: Any, *, delegate: str, threads: int, options: Mapping[str, str]
    ) -> OpenVINOSession:
        """Load `path` with what `OpenVINOSession.export` gave; without a blob, as `open`."""
        if delegate not in DEVICES:
            raise PlacementError(f"OpenVINO has no delegate {delegate!r} here", hint=f"delegates: {', '.join(DEVICES)}")
        options = check_options(delegate, options)
        check_artifact_file(path, "openvino")
        return OpenVINOSession(
            path, delegate=delegate, threads=threads, options=options, compiled=None if blob is None else (info, blob)
        )


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    """The model compiled for one set of shapes, with views on its input and output memory (static outputs only)."""

    model: Any
    request: Any
    infer: Callable[[], object]
    inputs: list[Any]
    outputs: list[Any] | None
    blob: Any = None


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
        self._properties = _properties(delegate, threads, options)
        self._compiled: OrderedDict[_Shapes, _Compiled] = OrderedDict()
        self._refused: set[_Shapes] = set()
        self._read: Any = None
        self._keeps_state = False
        if compiled is None:
            self.inputs = tuple(_spec(port, f"input_{i}") for i, port in enumerate(self._model.inputs))
            self.outputs = tuple(_spec(port, f"output_{i}") for i, port in enumerate(self._model.outputs))
        else:
            self.inputs, self.outputs = (
                tuple(TensorSpec(name=name, shape=tuple(shape), dtype=dtype) for name, shape, dtype in specs)
                for specs in compiled[0]["boundary"]
            )
        self._dtypes = [np.dtype(spec.dtype) for spec in self.inputs]
        self._static = all(None not in spec.shape[1:] for spec in self.inputs)
        self._shapes: _Shapes = tuple(tuple(d or 1 for d in spec.shape) for spec in self.inputs)
        if not self._static and delegate != _CPU and known_delegate(delegate).static_shapes:
            raise PlacementError(
                f"{delegate} needs fixed shapes, and {path.name} has free ones: {[spec.shape for spec in self.inputs]}",
                hint="convert the model with fixed input shapes",
            )
        failure: Exception | None = None
        shapes = self._shapes if self._static else None
        with capture_log() as log:
            try:
                if compiled is None:
                    first = self._compile(shapes)
                else:
                    blob = _import().Tensor(compiled[1], shared_memory=True)
                    first = self._keep(shapes, core().import_model(blob, self._device(), self._properties), blob)
                self._current: _Compiled | None = first if self._static else None
                self._any_shape: _Compiled | None = None if self._static else first
            except RuntimeError as error:
                failure = error
        if failure is not None and delegate != "openvino:cpu":
            raise PlacementError(
                f"{delegate} can not be used for {path.name}: {short(failure)}{log.tail()}",
                hint="check that the hardware is there and its driver is installed",
            ) from failure
        if failure is not None:
            raise ModelError(f"OpenVINO can not compile {path}: {short(failure)}{log.tail()}") from failure

    @property
    def _model(self) -> Any:
        """The model as it was read; with a compiled one, only when something else than that is asked for.

        Raises:
            ModelError: OpenVINO can not read it.
        """
        if self._read is None:
            failure: Exception | None = None
            with capture_log() as log:
                try:
                    self._read = core().read_model(str(self._path))
                except RuntimeError as error:
                    failure = error
            if failure is not None:
                raise ModelError(
                    f"OpenVINO can not read {self._path}: {short(failure)}{log.tail()}",
                    hint="the file is damaged, its .bin belongs to another .xml, or it was written by a newer OpenVINO",
                ) from failure
        return self._read

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
        make = _import().Tensor
        try:
            request = current.model.create_infer_request()
            for index, array in enumerate(inputs):
                request.set_input_tensor(index, make(array, shared_memory=True))
            for index, array in enumerate(outputs):
                request.set_output_tensor(index, make(array, shared_memory=True))
        except (RuntimeError, ValueError, TypeError) as error:
            say_debug(__name__, f"not bound: {error}")
            return None
        infer = _direct_infer(request)

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
        whole = OpenVINOSession(self._path, delegate=self._delegate, threads=threads * count, options=options)
        sessions = [whole]
        for _ in range(count - 1):
            other = copy.copy(whole)
            other._compiled = OrderedDict()
            if whole._current is not None:
                other._current = other._keep(whole._shapes, whole._current.model)
            if whole._any_shape is not None:
                other._any_shape = other._keep(None, whole._any_shape.model)
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
        for entry in (*self._compiled.values(), self._any_shape):
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
            self._current, self._shapes = self._compile(shapes), shapes
        entry = self._current or self._any_shape
        assert entry is not None, "a session is compiled when it is made"
        for variable, array in zip(entry.request.query_state(), arrays, strict=True):
            variable.state = _import().Tensor(array)

    def placement(self) -> PlacementReport:
        """Say what the compiled graph consists of: operations after fusion, each with its device and kernel."""
        compiled = self._current or self._any_shape
        assert compiled is not None, "a session without a compiled model has no placement"
        split: Mapping[str, str] | None = None
        if self._delegate == "openvino:hetero":
            with suppress(RuntimeError):
                split = core().query_model(self._model, self._device())
        wanted = known_delegate(self._delegate).device
        operations = list_operations(compiled.model, self._delegate, wanted, split)
        return PlacementReport(engine="openvino", delegate=self._delegate, operations=operations)

    def close(self) -> None:
        """Drop every compiled model."""
        self._compiled.clear()
        self._read = self._current = self._any_shape = None

    def _compile(self, shapes: _Shapes | None) -> _Compiled:
        model = self._model
        if shapes is not None and any(None in spec.shape for spec in self.inputs):
            model = model.clone()
            partial_shape = _import().PartialShape
            model.reshape({port: partial_shape(list(shape)) for port, shape in zip(model.inputs, shapes, strict=False)})
        return self._keep(shapes, core().compile_model(model, self._device(), self._properties))

    def _keep(self, shapes: _Shapes | None, compiled: Any, blob: Any = None) -> _Compiled:
        """Keep a request of a compiled model, with views on its memory where the shapes are known."""
        request = compiled.create_infer_request()
        self._resets = not self._keeps_state and bool(request.query_state())
        inputs = outputs = None
        if shapes is not None:
            inputs = [request.get_input_tensor(index).data for index in range(len(self.inputs))]
            if all(port.get_partial_shape().is_static for port in compiled.outputs):
                outputs = [request.get_output_tensor(index).data for index in range(len(self.outputs))]
        infer = _direct_infer(request)
        entry = _Compiled(model=compiled, request=request, infer=infer, inputs=inputs or [], outputs=outputs, blob=blob)
        if shapes is not None:
            self._compiled[shapes] = entry
            while len(self._compiled) > _KEPT_SHAPES:
                self._compiled.popitem(last=False)
        return entry

    def _device(self) -> str:
        """Return OpenVINO's word for the device; HETERO alone does not know what to choose from."""
        name = DEVICES[self._delegate]
        if name != "HETERO" or "MULTI_DEVICE_PRIORITIES" in self._properties:
            return name
        found = {device.partition(".")[0] for device in core().available_devices}
        return ":".join([name, ",".join(one for one in ("NPU", "GPU", "CPU") if one in found)])

    def _for_shapes(self, arrays: Sequence[Any]) -> _Compiled | None:
        """Return the model compiled for the shapes of `arrays`, or `None` when it has to go another way."""
        shapes = tuple(tuple(array.shape) for array in arrays)
        fits = shapes_agree(self.inputs, shapes)
        if not self._static or not fits or shapes in self._refused:
            return None
        entry = self._compiled.get(shapes)
        if entry is None:
            try:
                with capture_log():
                    entry = self._compile(shapes)
            except RuntimeError:
                self._refused.add(shapes)  # the batch is baked in, whatever the input's shape says
                return None
        else:
            self._compiled.move_to_end(shapes)
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


def _import() -> Any:
    os.environ.setdefault("OPENVINO_TELEMETRY_DISABLE", "1")
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise MissingEngineError(f"OpenVINO can not be imported: {error}", hint=INSTALL) from error


@functools.lru_cache(maxsize=1)
def core() -> Any:
    """Return the one `Core` of this process."""
    return _import().Core()


def _properties(delegate: str, threads: int, options: Mapping[str, str]) -> dict[str, str]:
    """Return the properties for a delegate: of ours those it has, overridden by `options`."""
    ours = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
    }
    if delegate != _CPU:
        known = known_delegate(delegate).options
        ours = {name: value for name, value in {**ours, "ENABLE_STARTUP_FALLBACK": "NO"}.items() if name in known}
    return {**ours, **options}


def _direct_infer(request: Any) -> Callable[[], object]:
    """Return what runs a request whose memory is filled: the bound C++ method, without the Python layers around it."""
    try:
        infer = super(type(request), request).infer
        return functools.partial(infer, {}, share_outputs=True, decode_strings=False)
    except AttributeError:
        return functools.partial(request.infer, None, share_outputs=True)


def _spec(port: Any, fallback: str) -> TensorSpec:
    shape = port.get_partial_shape()
    names = port.get_names()
    return TensorSpec(
        name=str(port.get_any_name()) if names else fallback,
        shape=tuple(None if dimension.is_dynamic else int(dimension.get_length()) for dimension in shape),
        dtype=np.dtype(port.get_element_type().to_dtype()).name,
    )


def short(error: Exception) -> str:
    """Return what an error of OpenVINO says, in one line of bearable length."""
    return " ".join(str(error).split())[:600]
