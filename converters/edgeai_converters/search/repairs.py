"""What static int8 may be tried with, as tables: a new repair is a line here and a file in `quantize/`.

A repair of the graph changes the float graph before its ranges are found. A choice only names nodes to keep in float.
A repair of the weights changes them once it is decided how they will be stored.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.quantize.adaround import round_weights
from edgeai_converters.quantize.bias_correction import correct_biases
from edgeai_converters.quantize.bias_correction_empirical import correct_biases_empirically
from edgeai_converters.quantize.clamp_masks import clamp_masks, find_masks
from edgeai_converters.quantize.equalize_layers import equalize_layers
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.recurrent_plan import lower_recurrent
from edgeai_converters.quantize.smooth_activations import smooth_activations
from edgeai_converters.quantize.split_outputs import split_outputs
from edgeai_converters.quantize.unlike_concats import find_unlike_concats
from edgeai_runtime.manifest import Format

Batches = Iterable[Mapping[str, NDArray[Any]]]
Changed = tuple[ir.Model, bool]
FindRanges = Callable[[], Ranges]

WRITE_OUT: Mapping[Format, tuple[str, ...]] = {"tflite": ("write_out_recurrent",)}
"""Format → repairs of the graph without which its engine would compute a layer in float; made in any case."""


def _widest(ranges: Ranges) -> dict[str, tuple[float, float]]:
    return next(iter(ranges.tensors.values())) if "minmax" not in ranges.tensors else ranges.tensors["minmax"]


GRAPH_REPAIRS: Mapping[str, Callable[[ir.Model, FindRanges], Changed]] = {
    "write_out_recurrent": lambda model, _: lower_recurrent(model, "tflite"),
    "clamp_masks": lambda model, ranges: clamp_masks(model, _widest(ranges())),
    "split_outputs": lambda model, ranges: split_outputs(model, ranges().channel_maxima),
    "equalize": lambda model, ranges: equalize_layers(model, ranges().channel_maxima),
    "smooth": lambda model, ranges: smooth_activations(model, ranges().channel_maxima),
}
"""Name → what makes a float-equivalent graph that suffers less from 8 bits; in the order they are applied."""

CHOICES: Mapping[str, Callable[[ir.Model, Ranges], dict[str, str]]] = {
    "masks": lambda model, _: find_masks(model),
    "unlike_concats": lambda model, ranges: find_unlike_concats(model, _widest(ranges)),
}
"""Name → nodes to keep in float for what they are, with the reason."""


def _bias_correction(model: ir.Model, plan: QuantizationPlan, ranges: Ranges, batches: Batches) -> Changed:
    return correct_biases(model, plan, ranges.channel_means)


def _bias_search(model: ir.Model, plan: QuantizationPlan, ranges: Ranges, batches: Batches) -> Changed:
    return correct_biases_empirically(model, plan, batches)


def _adaround(model: ir.Model, plan: QuantizationPlan, ranges: Ranges, batches: Batches) -> Changed:
    return round_weights(model, plan, batches)


WEIGHT_REPAIRS: Mapping[str, Callable[[ir.Model, QuantizationPlan, Ranges, Batches], Changed]] = {
    "adaround": _adaround,
    "bias_correction": _bias_correction,
    "bias_search": _bias_search,
}
"""Name → what changes weights or biases, given how they will be stored; in the order they are applied."""

SAMPLES = {"bias_search": 32}
"""Repairs of the weights that hold their samples → how many they get."""


def costly_repairs() -> tuple[str, ...]:
    """Return the repairs that take long and can run here: for when nothing else brought a candidate into the budget."""
    return ("bias_search", *(("adaround",) if importlib.util.find_spec("torch") else ()))


CHEAP = tuple(name for name in WEIGHT_REPAIRS if name not in ("adaround", "bias_search"))
"""Repairs of the weights that take no time to speak of."""
