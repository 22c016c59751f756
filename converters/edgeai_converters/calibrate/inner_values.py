"""Reading the inner values of a graph on samples, in pieces whose size does not depend on the batches or the graph."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner

ACTIVATION_BYTES = 128 * 2**20
"""Bytes of inner values held at a time; more are read by running the graph again for the next values."""


class InnerValues:
    """Some values of a graph, to be read on batches of inputs.

    Args:
        model: the graph, not changed.
        values: the values to read, inner ones, inputs or outputs.
    """

    def __init__(self, model: ir.Model, values: Sequence[ir.Value]) -> None:
        self._model = model
        self._values = list(values)
        self._runners: list[GraphRunner] | None = None

    def read(self, batch: Mapping[str, NDArray[Any]]) -> Iterator[tuple[int, str, NDArray[Any]]]:
        """Yield `(n, name, array)` for every value and every part of the batch, of `n` samples.

        A batch is cut into parts, and the values are read in groups, so that no more than `ACTIVATION_BYTES` are held,
        or one sample of one value, if that is larger.
        """
        if not self._values:
            return
        if self._runners is None:
            self._runners = [GraphRunner(self._model, outputs=names) for names in _chunks(self._values)]
        for part in _parts(self._model, batch, batch_size(batch), _bytes_per_sample(self._values)):
            n = batch_size(part)
            for runner in self._runners:
                for name, array in runner.run(part).items():
                    yield n, name, array


def batch_size(batch: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of samples of a batch."""
    sizes = {array.shape[0] for array in batch.values() if array.ndim}
    return max(sizes, default=1)


def _bytes_of(value: ir.Value) -> int:
    """Return the bytes of one sample of a value; free dimensions count as 1."""
    if value.shape is None:
        return 2**20
    return 4 * math.prod(size for size in value.shape.dims if isinstance(size, int))


def _bytes_per_sample(values: Sequence[ir.Value]) -> int:
    return max(1, min(ACTIVATION_BYTES, sum(_bytes_of(value) for value in values)))


def _chunks(values: Sequence[ir.Value]) -> Iterator[list[str]]:
    """Yield names of values in groups that together stay under `ACTIVATION_BYTES` for one sample."""
    chunk: list[str] = []
    size = 0
    for value in values:
        if chunk and size + _bytes_of(value) > ACTIVATION_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(str(value.name))
        size += _bytes_of(value)
    yield chunk


def _parts(
    model: ir.Model, batch: Mapping[str, NDArray[Any]], n: int, bytes_per_sample: int
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Yield the batch in parts whose inner values stay under `ACTIVATION_BYTES`; whole if it cannot be cut."""
    cuttable = all(
        value.shape is not None and len(value.shape) > 0 and not isinstance(value.shape[0], int)
        for value in model.graph.inputs
    ) and all(array.ndim and array.shape[0] == n for array in batch.values())
    size = max(1, ACTIVATION_BYTES // bytes_per_sample) if cuttable else n
    for start in range(0, n, size):
        yield {name: array[start : start + size] for name, array in batch.items()} if size < n else batch
