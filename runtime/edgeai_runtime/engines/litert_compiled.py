"""LiteRT's CompiledModel API: the delegates `litert:gpu` (WebGPU, OpenCL, Metal) and `litert:npu` (vendors' dispatch).

A model is compiled for the accelerator alone first; LiteRT then refuses it unless every operation is on it. A model of
which the GPU takes a part is compiled again with the CPU for the rest, and the report says how many operations that
leaves. `is_fully_accelerated()` is not asked: it counts XNNPACK as an accelerator.

Out of scope: models with state (this API has no reset), and element types that its buffers do not have.
"""

from __future__ import annotations

import importlib
import math
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.chunks import chunk_size, dtype_error, run_in_chunks, shape_error, shapes_agree
from edgeai_runtime.engines.litert_accelerator import (
    Compilation,
    compilation_error,
    describe_compilation,
    read_log,
    stdout_to_stderr,
)
from edgeai_runtime.engines.litert_source import (
    INSTALL,
    import_interpreter,
    keeps_state,
    list_nodes,
    model_source,
    open_error,
    tensor_spec,
)
from edgeai_runtime.errors import EngineError, ModelError, PlacementError
from edgeai_runtime.placement import PlacementReport

_DTYPES = ("float32", "float16", "int32", "int8", "uint8", "bool")
_NOT_ALL = "Some ops are not accelerated"


class CompiledSession:
    """One model compiled for a GPU or an NPU; see `protocol.Session` for what its members promise."""

    def __init__(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> None:
        self._path, self._delegate, self._threads, self._options = path, delegate, threads, options
        self._api = _import_api(delegate)
        self._read_model()
        self._held: dict[str, Any] = {}
        self._release = weakref.finalize(self, _release, self._held)  # LiteRT is quiet only when it is closed by us
        self._model: Any = None
        self._compile()

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Run once; a new size along a free dimension is compiled for, or run in chunks of the model's own batch."""
        if tuple([array.shape for array in arrays]) != self._shapes:
            return self._run_other_shapes(arrays)
        for spec, array, dtype, buffer in zip(self.inputs, arrays, self._dtypes, self._input_buffers, strict=True):
            if array.dtype != dtype:
                raise dtype_error(spec, array)
            buffer.write(array)
        try:
            self._model.run_by_index(self._signature, self._to_run, self._output_buffers)
            return [buffer.read(size, dtype).reshape(shape) for buffer, size, dtype, shape in self._results]
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"LiteRT failed while running {self._path.name} on {self._delegate}: {error}") from error

    def placement(self) -> PlacementReport:
        """Say what LiteRT's log tells: the operations on the accelerator, what it refused and why."""
        operations = describe_compilation(self._nodes, self._delegate, self._compilation)
        return PlacementReport(engine="litert", delegate=self._delegate, operations=operations)

    def close(self) -> None:
        """Give back the compiled model and its buffers."""
        del self._model, self._input_buffers, self._output_buffers, self._to_run, self._results
        self._release()

    def _read_model(self) -> None:
        """Read boundary and operations with an interpreter: the other API tells less."""
        module, package = import_interpreter()
        failure: Exception | None = None
        with capture_log() as log:
            try:
                resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                reader = module.Interpreter(**model_source(self._path), experimental_op_resolver_type=resolver)
            except Exception as error:
                failure = error
        if failure is not None:
            raise open_error(self._path, package, failure, log.tail()) from failure
        details = reader.get_input_details(), reader.get_output_details()
        self.inputs = tuple(tensor_spec(detail) for detail in details[0])
        self.outputs = tuple(tensor_spec(detail) for detail in details[1])
        self._order = [[int(detail["index"]) for detail in group] for group in details]
        self._nodes = [node for node in list_nodes(reader) if node["op_name"] != "DELEGATE"]
        self._dtypes = [np.dtype(spec.dtype) for spec in self.inputs]
        hint = "use litert:xnnpack"
        if keeps_state(self._nodes):
            raise PlacementError(f"{self._path.name} keeps state between calls; {self._delegate} cannot", hint=hint)
        wrong = [spec for spec in (*self.inputs, *self.outputs) if spec.dtype not in _DTYPES]
        if wrong:
            raise PlacementError(f"{self._delegate} has no buffers of {wrong[0].dtype} ({wrong[0].name!r})", hint=hint)

    def _compile(self) -> None:
        """Compile for the accelerator alone, else together with the CPU when the log says what stays behind."""
        text, failure = self._build(alone=True)
        found = read_log(self._delegate, text, partly=False)
        if failure is not None and _NOT_ALL in str(failure) and found.takes_some:
            text, failure = self._build(alone=False)
            found = read_log(self._delegate, text, partly=True)
            if failure is None and not found.takes_some:
                failure = RuntimeError("LiteRT does not say that the accelerator took any operation")
        if failure is not None and "Failed to load model" in str(failure):
            raise ModelError(f"LiteRT cannot compile {self._path}: {failure}") from failure
        refusal = compilation_error(self._delegate, found, text, failure, self._options)
        if refusal is not None:
            self._release()
            raise refusal from failure
        self._compilation: Compilation = found
        self._resizable = not found.partly  # what is left to the CPU may be something else after a change of shape
        self._bind()

    def _build(self, *, alone: bool) -> tuple[str, Exception | None]:
        api, options = self._api, self._options
        accelerators = api.HardwareAccelerator
        asked = accelerators.GPU if self._delegate == "litert:gpu" else accelerators.NPU
        failure: Exception | None = None
        with capture_log() as log, stdout_to_stderr():
            try:
                folder = str(Path(api.__file__).parent)
                self._held["environment"] = api.Environment.create(
                    runtime_path=folder,
                    compiler_plugin_path=options.get("compiler_plugins", ""),
                    dispatch_library_path=options.get("dispatch", ""),
                )
                (source,) = model_source(self._path).values()
                make = api.CompiledModel.from_buffer if isinstance(source, bytes) else api.CompiledModel.from_file
                self._held["model"] = make(
                    source,
                    environment=self._held["environment"],
                    options=api.Options(
                        hardware_accelerators=asked if alone else asked | accelerators.CPU,
                        cpu_options=api.CpuOptions(num_threads=self._threads),
                        gpu_options=api.GpuOptions(enforce_f32=options.get("precision", "f32") != "f16"),
                    ),
                )
            except (RuntimeError, ValueError) as error:
                failure = error.with_traceback(None)  # its frames would keep the environment alive
        return log.text, failure

    def _bind(self) -> None:
        """Find the main signature and its shapes, and make its buffers once."""
        model = self._model = self._held["model"]
        with capture_log(), stdout_to_stderr():
            key, tables = self._main_signature()
            self._signature = max(model.get_signature_index(key), 0)
            self._to_run: list[Any] = model.create_input_buffers(self._signature)
            self._output_buffers: list[Any] = model.create_output_buffers(self._signature)
        self._held["buffers"] = [*self._to_run, *self._output_buffers]
        self._ranks = [
            [list(table).index(one) for one in order] for table, order in zip(tables, self._order, strict=True)
        ]
        self._shapes = tuple(tables[0][index] for index in self._order[0])
        self._input_buffers = [self._to_run[rank] for rank in self._ranks[0]]
        self._results = [
            (self._output_buffers[rank], math.prod(tables[1][index]), np.dtype(spec.dtype), tables[1][index])
            for rank, index, spec in zip(self._ranks[1], self._order[1], self.outputs, strict=True)
        ]
        with capture_log():  # the first access makes another environment
            self._results[0][0].read(*self._results[0][1:3])

    def _main_signature(self) -> tuple[str, list[dict[int, tuple[int, ...]]]]:
        """Return the main graph's signature, and the shapes of its inputs and outputs by tensor."""
        model, orders = self._model, [sorted(set(order)) for order in self._order]
        for key in model.get_signature_list():
            groups = model.get_input_tensor_details(key), model.get_output_tensor_details(key)
            tables = [{int(o["index"]): tuple(map(int, o["shape"])) for o in group.values()} for group in groups]
            if [sorted(table) for table in tables] == orders:
                return key, tables
        raise PlacementError(f"{self._delegate} finds no signature of {self._path.name} for its main graph")

    def _run_other_shapes(self, arrays: Sequence[Any]) -> list[Any]:
        shapes = [tuple(array.shape) for array in arrays]
        why = ""
        if self._resizable and shapes_agree(self.inputs, shapes) and all(all(shape) for shape in shapes):
            try:
                return self._run_resized(arrays)
            except (EngineError, RuntimeError, ValueError) as error:
                why = str(error)
                self._resizable = False  # the batch is baked in, or the accelerator keeps to the sizes it has
                self._compile()
        size = chunk_size(self._shapes, shapes)
        if size is None:
            raise shape_error(self.inputs, arrays, why=why)
        return run_in_chunks(self.run, arrays, size, self.outputs)

    def _run_resized(self, arrays: Sequence[Any]) -> list[Any]:
        for spec, array, dtype in zip(self.inputs, arrays, self._dtypes, strict=True):
            if array.dtype != dtype:
                raise dtype_error(spec, array)
        with capture_log(), stdout_to_stderr():
            for rank, array in zip(self._ranks[0], arrays, strict=True):
                self._model.resize_input_tensor(rank, array.shape, self._signature)
        self._bind()
        with capture_log(), stdout_to_stderr():
            results = self.run(arrays)  # what is compiled now says so
        if not self._model.is_fully_accelerated():
            raise EngineError("after the change of shape, operations are left to the CPU")
        return results


def _import_api(delegate: str) -> Any:
    try:
        api = importlib.import_module("ai_edge_litert.compiled_model")
        if hasattr(api, "GpuOptions"):
            return api
        reason = "the installed ai-edge-litert is too old"
    except ImportError as error:
        reason = str(error)
    raise PlacementError(f"{delegate} needs the CompiledModel API of ai-edge-litert 2.3: {reason}", hint=INSTALL)


def _release(held: dict[str, Any]) -> None:
    """Drop buffers, model and environment, in that order, without LiteRT's farewell."""
    with capture_log(), stdout_to_stderr():
        for name in ("buffers", "model", "environment"):
            held.pop(name, None)
