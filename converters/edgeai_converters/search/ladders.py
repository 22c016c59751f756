"""What to keep in float next, for a search: found on calibration samples once, kept in the work folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx_ir as ir

from edgeai_converters.quantize.fallback import fallback_ladder, islands_ladder
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.sensitivity import measure_sensitivity
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.steps import plan_of
from edgeai_converters.search.variant import Variant
from edgeai_converters.versions import tool_versions

SAMPLES = 16
"""Calibration samples that the sensitivity of operations is measured on."""

_FILE = "ladder.json"

Rungs = tuple[Mapping[str, str], ...]


def by_sensitivity(calibration: Calibration, scheme: str, variant: Variant) -> Rungs:
    """Return growing sets of the nodes that lose most in 8 bits, with the reason."""

    def find(model: ir.Model, plan: QuantizationPlan) -> Rungs:
        sensitivities = measure_sensitivity(model, plan, calibration.batches(SAMPLES))
        return fallback_ladder(sensitivities, plan=plan, model=model)

    return _kept("sensitivity", calibration, scheme, variant, find)


def by_islands(calibration: Calibration, scheme: str, variant: Variant) -> Rungs:
    """Return sets of nodes whose conversions to and from integers cost more than they gain, with the reason."""
    return _kept("islands", calibration, scheme, variant, islands_ladder)


def _kept(
    name: str,
    calibration: Calibration,
    scheme: str,
    variant: Variant,
    find: Callable[[ir.Model, QuantizationPlan], Rungs],
) -> Rungs:
    repairs, params = variant.graph_repairs, variant.quantize_params(scheme)

    def make(folder: Path) -> None:
        model = calibration.model(repairs)
        plan = plan_of(model, calibration.ranges(repairs), params)
        (folder / _FILE).write_text(json.dumps(list(find(model, plan))))

    key = {"calibration": calibration.digest(repairs), "quantize": params, "tools": tool_versions()}
    return tuple(json.loads((calibration.work.step(name, key, make) / _FILE).read_text()))
