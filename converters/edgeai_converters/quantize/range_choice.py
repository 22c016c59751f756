"""Which range method to try first: a guide inside a search, never a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import Scheme
from edgeai_converters.spec import RangeMethod


def rank_range_methods(
    model: ir.Model,
    ranges: Ranges,
    scheme: Scheme,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    excluded: Mapping[str, str] | None = None,
) -> list[RangeMethod]:
    """Return the range methods, the one with the smallest output error on the batches first."""
    errors = range_method_errors(model, ranges, scheme, batches, excluded=excluded)
    return sorted(errors, key=lambda method: errors[method])


def range_method_errors(
    model: ir.Model,
    ranges: Ranges,
    scheme: Scheme,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    excluded: Mapping[str, str] | None = None,
) -> dict[RangeMethod, float]:
    """Return, per range method, how far the quantized graph's outputs are from the float graph's.

    The graph with Quantize/Dequantize nodes is run in float, as an engine would round; the error is the squared
    difference over the squared float output, averaged over the outputs.

    Args:
        model: the float graph.
        ranges: ranges of its values by all methods.
        scheme: the scheme to plan for.
        batches: input arrays by name; read once. Some tens of samples suffice.
        excluded: names of nodes to keep in float, with the reason.
    """
    float_runner = GraphRunner(model)
    runners = {
        method: GraphRunner(insert_qdq(model, plan_quantization(model, found, scheme, excluded=excluded))[0])
        for method, found in ranges.tensors.items()
    }
    power: dict[str, float] = dict.fromkeys(float_runner.outputs, 0.0)
    distance: dict[RangeMethod, dict[str, float]] = {method: dict.fromkeys(power, 0.0) for method in runners}
    for batch in batches:
        wanted = float_runner.run(batch)
        for name, array in wanted.items():
            power[name] += float(np.square(array, dtype=np.float64).sum())
        for method, runner in runners.items():
            for name, array in runner.run(batch).items():
                difference = array.astype(np.float64) - wanted[name]
                distance[method][name] += float(np.square(difference).sum())
    return {
        method: sum(found[name] / max(power[name], np.finfo(np.float64).tiny) for name in found) / max(len(found), 1)
        for method, found in distance.items()
    }
