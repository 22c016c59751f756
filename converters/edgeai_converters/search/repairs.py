"""The repairs that static int8 may be tried with, as a table: a new one is a line here and a file in `quantize/`.

A repair of the graph changes the float graph before its ranges are found. A repair of the weights changes them once
it is decided how they will be stored. A choice only adds nodes to those that are kept in float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.quantize.bias_correction import correct_biases
from edgeai_converters.quantize.plan import QuantizationPlan

Batches = Iterable[Mapping[str, NDArray[Any]]]
Changed = tuple[ir.Model, bool]


def _bias_correction(model: ir.Model, plan: QuantizationPlan, ranges: Ranges, batches: Batches) -> Changed:
    return correct_biases(model, plan, ranges.channel_means)


GRAPH_REPAIRS: Mapping[str, Callable[[ir.Model, Ranges], Changed]] = {}
"""Name → what makes a float-equivalent graph that suffers less from 8 bits; in the order they are applied."""

WEIGHT_REPAIRS: Mapping[str, Callable[[ir.Model, QuantizationPlan, Ranges, Batches], Changed]] = {
    "bias_correction": _bias_correction,
}
"""Name → what changes weights or biases, given how they will be stored; in the order they are applied."""

COSTLY = frozenset({"adaround"})
"""Repairs that take minutes: tried only when nothing else brought a candidate within the budget."""
