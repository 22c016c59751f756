"""Running the graph, by ONNX Runtime in this process: for calibration, parity and constant folding.

This is a tool of the workstation, not a measurement: figures are taken on artifacts, in their engines. Graph
optimisations are kept at the basic level, so that inner values keep their names, and are off for graphs with
Quantize/Dequantize pairs: even at the basic level ONNX Runtime quantizes float weights between DQ and Q nodes anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.protobuf.message  # type: ignore[import-untyped]
import numpy as np
import onnx
import onnx_ir as ir

from edgeai_converters.require import require
from edgeai_runtime.errors import DataError, EngineError, ModelError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_PROTO = 1_500_000_000
"""Bytes of constants above which a model is handed over in a file with external data (protobuf ends at 2 GiB)."""

_ROUNDS = "QuantizeLinear"


class GraphRunner:
    """A graph that is ready to run.

    Args:
        model: the graph, not changed and not held on to; or an ONNX file, which is run as it is.
        outputs: names of values to return instead of the graph's outputs; inner values are allowed (not for files).
        threads: number of threads inside an operation.

    Raises:
        UsageError: a name in `outputs` is no value of the graph.
        ModelError: ONNX Runtime does not accept the graph.
    """

    def __init__(self, model: ir.Model | Path, *, outputs: Sequence[str] | None = None, threads: int = 1) -> None:
        if isinstance(model, Path):
            self._session = _open_session(str(model), threads, rounds=_file_rounds(model))
        else:
            self._session = _open_model(_with_outputs(model, outputs), threads)
        self._batch = {value.name: _first(value.shape) for value in self._session.get_inputs()}
        self.outputs: tuple[str, ...] = tuple(value.name for value in self._session.get_outputs())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return the outputs by name.

        A graph with a fixed batch size is run over the samples in pieces of that size, and the results are joined
        along the first axis; the number of samples must be a multiple of it.

        Raises:
            DataError: an input is missing, or has the wrong shape or type.
            EngineError: ONNX Runtime failed while running.
        """
        missing = [name for name in self._batch if name not in inputs]
        if missing:
            raise DataError(f"No array for the input {missing[0]!r}. Received: {', '.join(inputs) or 'nothing'}.")
        feed = {name: np.ascontiguousarray(inputs[name]) for name in self._batch}
        counts = {array.shape[0] for array in feed.values() if array.ndim}
        fixed = {size for name, size in self._batch.items() if isinstance(size, int) and feed[name].ndim}
        if len(counts) == 1 and len(fixed) == 1 and counts != fixed:
            return self._run_in_pieces(feed, next(iter(counts)), next(iter(fixed)))
        return self._run(feed)

    def _run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            results = self._session.run(None, dict(feed))
        except Exception as error:  # onnxruntime has no public base class for its errors
            message = str(error).strip().splitlines()[-1]
            kind = DataError if "INVALID_ARGUMENT" in str(error) else EngineError
            raise kind(f"ONNX Runtime could not run the graph: {message}") from error
        return dict(zip(self.outputs, results, strict=True))

    def _run_in_pieces(self, feed: Mapping[str, NDArray[Any]], n: int, size: int) -> dict[str, NDArray[Any]]:
        if size < 1 or n % size:
            raise DataError(f"The graph takes {size} samples at a time. Received: {n} samples.")
        pieces = [
            self._run({name: array[start : start + size] if array.ndim else array for name, array in feed.items()})
            for start in range(0, n, size)
        ]
        return {
            name: np.concatenate([piece[name] for piece in pieces]) if pieces[0][name].ndim else pieces[0][name]
            for name in self.outputs
        }


def model_size(model: ir.Model) -> int:
    """Return the bytes of all constants of the graph."""
    return sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)


def _first(shape: Sequence[Any]) -> Any:
    return shape[0] if shape else None


def _with_outputs(model: ir.Model, outputs: Sequence[str] | None) -> ir.Model:
    """Return a copy of the model that has `outputs` for outputs; the model itself when none are named."""
    if outputs is None:
        return model
    model = model.clone()
    values = ir.convenience.create_value_mapping(model.graph)
    for name in outputs:
        if name not in values:
            raise UsageError(f"The graph has no value named {name!r}.", hint="Names are those of the simplified graph.")
    model.graph.outputs.clear()
    model.graph.outputs.extend(values[name] for name in dict.fromkeys(outputs))
    return model


def _file_rounds(path: Path) -> bool:
    """Whether a file quantizes anything; a file that cannot be read is left to ONNX Runtime to complain about."""
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except (google.protobuf.message.DecodeError, OSError):
        return False
    return any(node.op_type == _ROUNDS for node in proto.graph.node)


def _open_model(model: ir.Model, threads: int) -> Any:
    rounds = any(node.op_type == _ROUNDS for node in model.graph)
    if model_size(model) <= LARGEST_PROTO:
        return _open_session(ir.to_proto(model).SerializeToString(), threads, rounds=rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx.save(ir.to_proto(model), path, save_as_external_data=True, location="model.onnx.data")
        return _open_session(str(path), threads, rounds=rounds)


def _open_session(source: bytes | str, threads: int, *, rounds: bool) -> Any:
    ort = require("onnxruntime", extra="onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if rounds else levels.ORT_ENABLE_BASIC
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base class for its errors
        raise ModelError(f"ONNX Runtime does not accept the graph: {str(error).strip().splitlines()[0]}") from error
