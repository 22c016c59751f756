"""Ranges of a graph's inner values, by several estimators at once, in one pass over the calibration batches.

Memory does not grow with the number of samples: one histogram per value (see `estimators_histogram`) and the
activations of one small batch (see `inner_values`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.channel_statistics import ChannelStatistics, channel_values
from edgeai_converters.calibrate.estimators import estimate_range
from edgeai_converters.calibrate.estimators_histogram import Histogram
from edgeai_converters.calibrate.inner_values import InnerValues, batch_size
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.spec import DEFAULT_RANGE_METHODS, RangeMethod
from edgeai_runtime.errors import DataError

_LOG = logging.getLogger(__name__)

VALUES_PER_SAMPLE = 65536
"""Values of one tensor and one sample that are counted in the histogram, evenly spread; the extremes see all."""

SAME_VALUES = frozenset(
    {
        "DepthToSpace",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose outputs hold only values of their first input: they take over its range."""

CLAMPS = frozenset({"Relu", "Clip"})
"""Activations that every engine computes inside the node before them when it is one of `CLAMPED`."""

CLAMPED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul"})
"""Operators whose output is never stored when a single activation of `CLAMPS` follows: it is not observed."""

OnStep = Callable[[int, int, str], None]


def collect_ranges(
    model: ir.Model,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    methods: Sequence[RangeMethod] = DEFAULT_RANGE_METHODS,
    channels: bool = False,
    on_step: OnStep | None = None,
) -> Ranges:
    """Run the graph over the batches and return the range of every floating-point value that may be quantized.

    Args:
        model: the float graph, shapes inferred.
        batches: input arrays by name, `[n, …]`; read once, one at a time.
        methods: estimators to apply.
        channels: also fill `Ranges.channel_means` and `Ranges.channel_maxima`.
        on_step: called after each batch with the number of samples so far; the total is not known and given as 0.

    Raises:
        DataError: there is no sample, or some value of the graph is NaN or infinite on all of them.
    """
    observed = observed_values(model)
    histograms = {str(value.name): Histogram() for value in observed}
    statistics = {str(value.name): ChannelStatistics(axis) for value, axis in channel_values(model)} if channels else {}
    values = ir.convenience.create_value_mapping(model.graph)
    read = observed + [values[name] for name in statistics if name not in histograms]
    averages = "moving_average" in methods
    inner = InnerValues(model, read)
    samples = 0
    for batch in batches:
        for n, name, array in inner.read(batch):
            if name in histograms:
                _observe(histograms[name], array, samples)
                if averages:
                    histograms[name].follow(*_extremes_of_samples(array, n))
            if name in statistics:
                statistics[name].add(array)
        samples += batch_size(batch)
        if on_step is not None:
            on_step(samples, 0, "calibration")
    if not samples:
        raise DataError("There is no calibration sample.", hint="Give data with at least one sample.")
    for name, histogram in histograms.items():
        if histogram.unusable:
            _LOG.warning("%s has %d NaN or infinite values on the calibration samples", name, histogram.unusable)
            if not histogram.total:
                raise DataError(f"The value {name!r} of the graph is NaN or infinite on every calibration sample.")
    seen = {name: histogram for name, histogram in histograms.items() if histogram.total}
    tensors = {
        method: _with_same_values(model, {name: estimate_range(found, method) for name, found in seen.items()})
        for method in methods
    }
    return Ranges(
        tensors=tensors,
        samples=samples,
        channel_means={name: found.means for name, found in statistics.items()},
        channel_maxima={name: found.maxima for name, found in statistics.items()},
    )


def observed_values(model: ir.Model) -> list[ir.Value]:
    """Return the float values whose range has to be seen: the others are never stored or share a range with one."""
    values = [value for value in model.graph.inputs if _is_float(value)]
    for node in model.graph:
        if node.op_type in SAME_VALUES and node.inputs[0] is not None and node.inputs[0].const_value is None:
            continue
        values += [value for value in node.outputs if value.name and _is_float(value) and not _is_clamped(value)]
    return values


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (None, ir.DataType.FLOAT)


def _is_clamped(value: ir.Value) -> bool:
    """Tell whether the value only exists inside an operator together with the activation that follows it."""
    node = value.producer()
    uses = value.uses()
    return (
        node is not None
        and node.op_type in CLAMPED
        and len(uses) == 1
        and not value.is_graph_output()
        and next(iter(uses)).node.op_type in CLAMPS
        and next(iter(uses)).idx == 0
    )


def _with_same_values(model: ir.Model, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return the ranges together with those of values that only pass another's values on."""
    full = dict(ranges)
    for node in model.graph:
        if node.op_type in SAME_VALUES and node.inputs[0] is not None and node.inputs[0].name in full:
            for value in node.outputs:
                if value.name and _is_float(value):
                    full.setdefault(value.name, full[node.inputs[0].name])
    return full


def _observe(histogram: Histogram, array: NDArray[Any], seed: int) -> None:
    if array.dtype.kind != "f" or not array.size:
        return
    flat = array.reshape(-1)
    limit = VALUES_PER_SAMPLE * max(1, array.shape[0] if array.ndim else 1)
    if flat.size > limit:
        low, high = float(flat.min()), float(flat.max())
        if math.isfinite(low) and math.isfinite(high):
            histogram.widen(low, high)
        # An odd step walks through all channels and columns of the usual even-sized maps; the start moves on by batch.
        step = (flat.size // limit) | 1
        flat = flat[seed % step :: step]
    histogram.add(flat)


def _extremes_of_samples(array: NDArray[Any], n: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the extremes of each of `n` samples, `[n]` twice; of the whole where samples cannot be separated.

    Values that are no floats, or samples without a finite value, give nothing.
    """
    if array.dtype.kind != "f" or not array.size:
        return np.empty(0), np.empty(0)
    rows = array.reshape(n, -1) if array.ndim and array.shape[0] % n == 0 else array.reshape(1, -1)
    lows, highs = rows.min(axis=1), rows.max(axis=1)
    usable = np.isfinite(lows) & np.isfinite(highs)
    return lows[usable], highs[usable]
