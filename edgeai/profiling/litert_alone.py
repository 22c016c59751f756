"""LiteRT without its profiler: each operation is measured as a model of its own.

For what LiteRT's CompiledModel does not take (variables, `tflite-runtime`, TensorFlow) and for networks so small that
its clock of whole microseconds tells nothing. The inputs of an operation are those of the whole run. Two models are
made of it, one with the operation once and one with it twice: the difference is its time without the cost of a call.
What XNNPACK fuses in the whole is not fused here.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeai.profiling.recorder import MOST_CALLS, Operation
from edgeai_converters.emit.tflite.flatbuffer import code_name, read_model, write_model
from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.litert import RESOLVERS
from edgeai_runtime.engines.litert_source import import_interpreter
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.errors import EngineError

_ALL_S, _LEAST_S, _MOST_S = 2.0, 0.03, 0.2
"""How long is measured: all operations together, but each within bounds."""

_WARMUP_S, _LEAST_ROUNDS = 0.005, 7
_QUIET = 0.25
"""Quantile of calls that stands for a machine that is let alone."""

_KEEPS_VALUES = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


class LiteRTAloneRecorder:
    """See `recorder.Recorder` for what its members promise; its calls are those of the session it is given."""

    method: Literal["alone"] = "alone"
    most_calls = MOST_CALLS
    note = (
        "LiteRT's profiler does not work for this model: each operation was measured as a model of its own, with the "
        "inputs it has in the whole. What is fused in the whole is not fused there, so the sum may be above the whole."
    )

    def __init__(
        self,
        path: Path,
        session: Session,
        arrays: Sequence[Any],
        *,
        delegate: str,
        threads: int,
        options: Mapping[str, str],
    ) -> None:
        if delegate not in RESOLVERS or options:
            raise EngineError(
                f"LiteRT reports no times per operation for {delegate}.", hint="Profile it on litert:xnnpack."
            )
        self._session, self._arrays = session, list(arrays)
        self._file = read_model(path.read_bytes(), where=str(path))
        self._values = _inner_values(path, arrays)
        self._resolver, self._threads = RESOLVERS[delegate], threads

    def begin(self) -> None:
        """Do nothing: the whole is not profiled."""

    def call(self) -> None:
        """Run the whole once."""
        self._session.run(self._arrays)

    def keep(self) -> None:
        """Do nothing."""

    def finish(self, kept: Sequence[int]) -> list[Operation]:
        """Measure one operation after the other."""
        found = []
        operators = self._file.subgraphs[0].operators
        each_s = min(max(_ALL_S / max(len(operators), 1), _LEAST_S), _MOST_S)
        for place, operator in enumerate(operators):
            code = self._file.operatorCodes[operator.opcodeIndex]
            name = code_name(code)
            calls = {str(count): self._open(place, count) for count in (1, 2)}
            samples = interleave(calls, duration_s=each_s, warmup_s=_WARMUP_S, min_rounds=_LEAST_ROUNDS, seed=place)
            once, twice = (float(np.quantile(samples[count].call_ms, _QUIET)) for count in ("1", "2"))
            ms = max(twice - once, 0.0)
            found.append(Operation(name=f"{name}:{place}", op=name, ms=ms))
        return found

    def close(self) -> None:
        """Drop the values."""
        self._values = {}

    def _open(self, place: int, count: int) -> Callable[[], object]:
        model, inputs = cut_out(self._file, place, count)
        module, package = import_interpreter()
        try:
            with capture_log(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                interpreter = module.Interpreter(
                    model_content=write_model(model),
                    num_threads=self._threads,
                    experimental_op_resolver_type=module.OpResolverType[self._resolver],
                )
                interpreter.allocate_tensors()
            for detail, index in zip(interpreter.get_input_details(), inputs, strict=True):
                interpreter.set_tensor(detail["index"], self._values[index])
        except (KeyError, RuntimeError, ValueError) as error:
            raise EngineError(f"{package} cannot run operation {place} by itself: {error}") from error
        invoke: Callable[[], object] = interpreter.invoke
        return invoke


def cut_out(model: Any, place: int, count: int) -> tuple[Any, list[int]]:
    """Return a model of one operator of the main graph, `count` times side by side on the same inputs.

    Args:
        model: a `ModelT`; not changed.
        place: of the operator in its graph.
        count: how often it is there; each has its own outputs.

    Returns:
        The model, and the tensors of the whole (their numbers) that are its inputs, in order.
    """
    graph = model.subgraphs[0]
    operator = graph.operators[place]
    part = copy.copy(model)
    main = copy.copy(graph)
    part.signatureDefs, part.metadata, part.metadataBuffer = None, None, None
    inner = [int(index) for index in (() if operator.intermediates is None else operator.intermediates)]
    used = sorted({int(index) for index in operator.inputs if index >= 0} | set(inner))
    number = {index: position for position, index in enumerate(used)}
    main.tensors = [copy.copy(graph.tensors[index]) for index in used]
    given = [
        index
        for index in used
        if index not in inner
        and not graph.tensors[index].isVariable
        and not _has_content(model.buffers[graph.tensors[index].buffer])
    ]
    main.operators, outputs = [], []
    for turn in range(count):
        one = copy.copy(operator)
        one.inputs = np.array([number.get(int(index), -1) for index in operator.inputs], np.int32)
        one.intermediates = np.array([number[index] for index in inner], np.int32)
        places = []
        for index in operator.outputs:
            tensor = copy.copy(graph.tensors[index])
            tensor.name = f"output_{turn}_{index}".encode()
            places.append(len(main.tensors))
            main.tensors.append(tensor)
        one.outputs = np.array(places, np.int32)
        outputs += places
        main.operators.append(one)
    main.inputs = np.array([number[index] for index in given], np.int32)
    main.outputs = np.array(outputs, np.int32)
    part.subgraphs = [main, *model.subgraphs[1:]]
    if len(part.subgraphs) == 1:
        _drop_buffers(part, main)
    return part, given


def _has_content(buffer: Any) -> bool:
    return buffer.data is not None and len(buffer.data) > 0


def _drop_buffers(model: Any, graph: Any) -> None:
    """Leave only the constants that the graph has."""
    kept = sorted({0, *(tensor.buffer for tensor in graph.tensors)})
    model.buffers = [model.buffers[index] for index in kept]
    for tensor in graph.tensors:
        tensor.buffer = kept.index(tensor.buffer)


def _inner_values(path: Path, arrays: Sequence[Any]) -> dict[int, Any]:
    """Run once without XNNPACK and return the value of every tensor that has one, by number.

    Raises:
        EngineError: the arrays have another shape than the file, or the interpreter cannot keep values.
    """
    module, package = import_interpreter()
    with capture_log(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            interpreter = module.Interpreter(
                model_path=str(path),
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=module.OpResolverType[_KEEPS_VALUES],
            )
            interpreter.allocate_tensors()
            for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
                interpreter.set_tensor(detail["index"], array)
            interpreter.invoke()
        except (TypeError, ValueError, RuntimeError) as error:
            text = f"{package} cannot show the inner values of {path.name}: {error}"
            raise EngineError(text, hint="Profile it with one sample of the file's own shape.") from error
    values = {}
    for detail in interpreter.get_tensor_details():
        try:
            values[int(detail["index"])] = interpreter.get_tensor(detail["index"])
        except ValueError:  # of an operator's own use
            continue
    return values
