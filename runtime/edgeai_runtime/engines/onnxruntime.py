"""ONNX Runtime: runs `.onnx` files on the CPU and through its execution providers.

ONNX Runtime silently uses the CPU for a provider that is missing, that fails to start, or that takes nothing of the
model. Here each of these is an error, and the placement is what the session recorded while it assigned its nodes.
"""

from __future__ import annotations

import copy
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.delegates.options import check_options
from edgeai_runtime.engines.artifact_file import check_artifact_file
from edgeai_runtime.engines.captured_log import capture_log, say_debug
from edgeai_runtime.engines.chunks import chunk_size, dtype_error, run_in_chunks, shape_error
from edgeai_runtime.engines.onnxruntime_settings import (
    CPU,
    OWN_FILES,
    fixed_dimensions,
    make_settings,
    model_source,
    write_compiled,
)
from edgeai_runtime.engines.table import has_delegate, known_delegate
from edgeai_runtime.errors import (
    EngineError,
    MissingEngineError,
    ModelError,
    PlacementError,
    UnsupportedOperationError,
    UsageError,
)
from edgeai_runtime.manifest import Format, TensorSpec
from edgeai_runtime.placement import OperationPlacement, PlacementReport

if TYPE_CHECKING:
    from edgeai_runtime.engines.protocol import EngineInfo

_CPU_DELEGATE = "onnxruntime:cpu"
#: Below, looking for an optimized graph takes as long as optimizing it again (measured); contexts always pay.
_SMALLEST_COMPILED = 1024 * 1024
INSTALL = 'pip install "edgeai-runtime[onnx]"'

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "string": "object",
    "bool": "bool",
    **{name: name for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
}


class OnnxRuntimeEngine:
    """The adapter; see `protocol.Engine` for what its members promise."""

    name = "onnxruntime"
    format: Format = "onnx"

    def info(self) -> EngineInfo:
        """Say whether ONNX Runtime is installed and imports."""
        from edgeai_runtime.engines.protocol import EngineInfo

        try:
            version = str(_import().__version__)
        except MissingEngineError as error:
            return EngineInfo(present=False, package="onnxruntime", version="", reason=error.message, install=INSTALL)
        return EngineInfo(present=True, package="onnxruntime", version=version, reason="", install=INSTALL)

    def open(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> OnnxRuntimeSession:
        """Load `path`; `options` are those of the delegate in the table. Errors: see `protocol.Engine.open`.

        On a delegate that needs fixed shapes, a free batch becomes one, and other free dimensions are those given as
        `dimension.<name>`.
        """
        return self.open_compiled(path, {}, None, delegate=delegate, threads=threads, options=options)

    def open_compiled(
        self,
        path: Path,
        info: Mapping[str, Any],
        graph: Any,
        *,
        delegate: str,
        threads: int,
        options: Mapping[str, str],
    ) -> OnnxRuntimeSession:
        """Load `path` with what `OnnxRuntimeSession.export` gave; without a graph, as `open`."""
        if not has_delegate(self.name, delegate):
            raise PlacementError(f"ONNX Runtime has no delegate {delegate!r} here", hint="`devices` lists those it has")
        options = check_options(delegate, options)
        check_artifact_file(path, "onnx")
        return OnnxRuntimeSession(
            path, delegate=delegate, threads=threads, options=options, compiled=None if graph is None else (info, graph)
        )


class OnnxRuntimeSession:
    """One inference session; see `protocol.Session` for what its members promise."""

    def __init__(
        self,
        path: Path,
        *,
        delegate: str,
        threads: int,
        options: Mapping[str, str],
        compiled: tuple[Mapping[str, Any], Any] | None = None,
        write_to: Path | None = None,
    ) -> None:
        ort = _import()
        self._path, self._delegate, self._threads, self._options = path, delegate, threads, options
        settings = make_settings(ort, threads, options)
        if compiled is not None:
            settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        elif write_to is not None:
            write_compiled(settings, write_to, on_cpu=delegate == _CPU_DELEGATE)
        source = model_source(path) if compiled is None else bytes(compiled[1])
        self._compiled = None if compiled is None else compiled[0]
        providers: list[Any] | None = [CPU]
        if delegate != _CPU_DELEGATE:  # the others are not imported for nothing
            from edgeai_runtime.engines.onnxruntime_providers import add_provider

            providers = add_provider(ort, settings, delegate, options, threads)
        failure: Exception | None = None
        with capture_log() as log:
            try:
                if delegate != _CPU_DELEGATE and compiled is None and known_delegate(delegate).static_shapes:
                    for name, size in fixed_dimensions(ort, path, delegate, options).items():
                        settings.add_free_dimension_override_by_name(name, size)
                session = ort.InferenceSession(source, settings, providers=providers, enable_fallback=0)
            except (PlacementError, UsageError):
                raise
            except Exception as error:
                failure = error
        if failure is not None:
            raise _open_error(path, delegate, failure, log.tail()) from failure
        if delegate != _CPU_DELEGATE:
            _check_taken(session, delegate, log.tail())
        self._session: Any = session
        self._run = session.run
        self.inputs = tuple(_spec(value) for value in session.get_inputs())
        self.outputs = tuple(_spec(value) for value in session.get_outputs())
        self._input_names = [spec.name for spec in self.inputs]
        self._output_names = [spec.name for spec in self.outputs]

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Run once; a baked-in batch is run in chunks of its size."""
        if len(arrays) != len(self._input_names):
            raise shape_error(self.inputs, arrays)
        try:
            return list(self._run(self._output_names, dict(zip(self._input_names, arrays, strict=False)), None))
        except Exception as error:
            return self._run_again(arrays, error)

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], object] | None:
        """Return a call that runs from and into the memory of these arrays; `None` where they have to be copied."""
        try:
            binding = self._session.io_binding()
            make = _import().OrtValue.ortvalue_from_numpy
            for name, array in zip(self._input_names, inputs, strict=True):
                binding.bind_ortvalue_input(name, make(array))
            for name, array in zip(self._output_names, outputs, strict=True):
                binding.bind_ortvalue_output(name, make(array))
            self._session.run_with_iobinding(binding)
        except Exception as error:
            say_debug(__name__, f"not bound: {error}")
            return None
        run, inner = getattr(self._session._sess, "run_with_iobinding", None), getattr(binding, "_iobinding", None)
        if run is None or inner is None:
            run, inner = self._session.run_with_iobinding, binding

        def call() -> None:
            try:
                run(inner, None)
            except Exception as error:
                raise EngineError(f"ONNX Runtime failed while running {self._path.name}: {error}") from error

        return call

    def replicas(self, count: int, threads: int) -> list[OnnxRuntimeSession]:
        """Return sessions for `count` threads at once: several threads may run one session of ONNX Runtime.

        On an accelerator it is this one, which would take its memory and the time to compile twice.
        """
        session = self
        if threads != self._threads and self._delegate == _CPU_DELEGATE:
            session = OnnxRuntimeSession(self._path, delegate=self._delegate, threads=threads, options=self._options)
        return [copy.copy(session) for _ in range(count)]

    def export(self) -> tuple[dict[str, Any], bytes] | None:
        """Return the optimized graph, or the context that a provider compiled, and the placement; `None` if too small.

        The file is loaded once more for that.
        """
        small = self._delegate == _CPU_DELEGATE and self._path.stat().st_size < _SMALLEST_COMPILED
        if small or any(key in self._options for key in OWN_FILES):
            return None
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "model.onnx"
            OnnxRuntimeSession(
                self._path, delegate=self._delegate, threads=self._threads, options=self._options, write_to=written
            ).close()
            graph = written.read_bytes()
        return {"operations": [dict(vars(one)) for one in self.placement().operations]}, graph

    def placement(self) -> PlacementReport:
        """Say where each node was assigned; `unknown` when this version does not record it."""
        if self._compiled is not None:
            noted = tuple(OperationPlacement(**one) for one in self._compiled["operations"])
            return PlacementReport(engine="onnxruntime", delegate=self._delegate, operations=noted)
        from edgeai_runtime.engines.onnxruntime_providers import PROVIDERS, device_of

        operations: list[OperationPlacement] = []
        wanted = known_delegate(self._delegate).device
        try:
            for subgraph in self._session.get_provider_graph_assignment_info():
                device, delegate = device_of(subgraph.ep_name, self._delegate)
                reason = "" if device == wanted else f"{PROVIDERS[self._delegate].name} did not take it"
                operations += [
                    OperationPlacement(
                        name=_original_name(node) or f"{node.op_type}:{index}",
                        op_type=f"{node.domain}.{node.op_type}" if node.domain else node.op_type,
                        device=device,
                        delegate=delegate,
                        reason=reason,
                    )
                    for index, node in enumerate(subgraph.get_nodes(), start=len(operations))
                ]
        except (AttributeError, RuntimeError):
            operations = [self._placement_without_record()]
        return PlacementReport(engine="onnxruntime", delegate=self._delegate, operations=tuple(operations))

    def close(self) -> None:
        """Drop the session."""
        self._session = self._run = None

    def _placement_without_record(self) -> OperationPlacement:
        providers = list(self._session.get_providers())
        only_cpu = providers == [CPU]
        return OperationPlacement(
            name="model",
            op_type="?",
            device="cpu" if only_cpu else "unknown",
            delegate=self._delegate,
            reason="the session has no other provider" if only_cpu else f"not recorded; providers: {providers}",
        )

    def _run_again(self, arrays: Sequence[Any], error: Exception) -> list[Any]:
        for spec, array in zip(self.inputs, arrays, strict=False):
            if array.dtype != np.dtype(spec.dtype):
                raise dtype_error(spec, array) from error
        shapes = [tuple(array.shape) for array in arrays]
        size = chunk_size([spec.shape for spec in self.inputs], shapes)
        if size is not None:
            return run_in_chunks(self.run, arrays, size, self.outputs)
        if type(error).__name__ == "InvalidArgument":
            raise shape_error(self.inputs, arrays, why=str(error)) from error
        received = ", ".join(f"{spec.name} {shape}" for spec, shape in zip(self.inputs, shapes, strict=False))
        raise EngineError(
            f"ONNX Runtime failed while running {self._path.name} on {received}: {str(error).strip()}"
        ) from error


def _original_name(node: Any) -> str:
    """Return the name that a node had before ONNX Runtime changed its layout and called it `conv_token_2`."""
    base, mark, number = str(node.name).rpartition("_token_")
    return base if mark and number.isdigit() and node.domain == "com.ms.internal.nhwc" else str(node.name)


def _import() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingEngineError(f"ONNX Runtime cannot be imported: {error}", hint=INSTALL) from error


def _spec(value: Any) -> TensorSpec:
    kind = str(value.type)
    inner = kind[7:-1] if kind.startswith("tensor(") else kind
    return TensorSpec(
        name=str(value.name),
        shape=tuple(d if isinstance(d, int) else None for d in value.shape),
        dtype=_DTYPES.get(inner, inner),
    )


def _check_taken(session: Any, delegate: str, log: str) -> None:
    """Check that the delegate's provider runs at least one node.

    A provider that fails while it looks at the model says so in the log, and the session goes on without it.

    Raises:
        PlacementError: it has none, or is not there at all.
    """
    from edgeai_runtime.engines.onnxruntime_providers import PROVIDERS

    name = PROVIDERS[delegate].name
    if name not in session.get_providers():
        raise PlacementError(f"ONNX Runtime went on without {name}, which was asked for{log}")
    try:
        taken = {subgraph.ep_name for subgraph in session.get_provider_graph_assignment_info()}
    except (AttributeError, RuntimeError):
        return  # this version does not record it: the placement says `unknown`
    if name not in taken:
        raise PlacementError(
            f"{name} takes no operation of the model: all of them would run on the CPU{log}",
            hint="the log says why, where there is one; else the model's operations, types or shapes do not suit it",
        )


def _open_error(path: Path, delegate: str, error: Exception, log: str) -> Exception:
    text, kind = str(error).strip(), type(error).__name__
    if "fallback to CPU EP has been explicitly disabled" in text:
        return PlacementError(
            f"{delegate} leaves operations of {path.name} to the CPU, and the CPU is not allowed{log}",
            hint="allow the CPU, or convert the model so that the delegate takes all of its operations",
        )
    if delegate != _CPU_DELEGATE and kind in {"EPFail", "Fail", "RuntimeException", "RuntimeError", "ValueError"}:
        return PlacementError(f"{delegate} cannot be used for {path.name}: {text}{log}")
    if kind == "NotImplemented":
        return UnsupportedOperationError(f"ONNX Runtime cannot run {path}: {text}{log}")
    if kind in {
        "InvalidProtobuf",
        "InvalidGraph",
        "NoSuchFile",
        "Fail",
        "InvalidArgument",
        "NoModel",
        "RuntimeException",
    }:
        return ModelError(
            f"ONNX Runtime cannot read {path}: {text}{log}",
            hint="the file is damaged, made by a newer exporter, or its external data is missing",
        )
    return EngineError(f"ONNX Runtime failed while loading {path}: {text}{log}")
