"""What calibration samples say about static int8 in one scheme, by simulation: what to try first.

A guide, never a result: the search split decides on the real artifact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from edgeai_converters.quantize.output_error import OutputError
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.sensitive_inputs import find_sensitive_inputs
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.make import NoEffectError, quantize
from edgeai_converters.search.repairs import COSTLY, GRAPH_REPAIRS, WEIGHT_REPAIRS
from edgeai_converters.search.variant import Variant
from edgeai_converters.versions import tool_versions

SAMPLES = 32
"""Calibration samples that variants are simulated on."""

WORTH = 0.9
"""A repair is kept when it brings the simulated error below this share of what it was."""

_FILE = "guide.json"


def guide(
    calibration: Calibration, scheme: str, *, forced: Sequence[str] | None, excluded: Mapping[str, str]
) -> tuple[Variant, ...]:
    """Return the variants worth trying, the one with the least simulated error first; kept in the work folder.

    Args:
        calibration: samples and ranges.
        scheme: name of the quantization scheme.
        forced: repairs to make whatever the simulation says; `None` leaves the choice to it.
        excluded: nodes to keep in float in any case, with the reason.
    """

    def make(folder: Path) -> None:
        found = _simulate(calibration, scheme, forced, excluded)
        (folder / _FILE).write_text(json.dumps([asdict(one) for one in found]))

    key = {
        "calibration": calibration.digest(),
        "scheme": scheme,
        "repairs": [*GRAPH_REPAIRS, *WEIGHT_REPAIRS] if forced is None else list(forced),
        "excluded": dict(excluded),
        "tools": tool_versions(),
    }
    document = json.loads((calibration.work.step("guide", key, make) / _FILE).read_text())
    return tuple(Variant(**{**one, "repairs": tuple(one["repairs"])}) for one in document)


def _simulate(
    calibration: Calibration, scheme: str, forced: Sequence[str] | None, excluded: Mapping[str, str]
) -> list[Variant]:
    error = OutputError(calibration.model(), calibration.batches(SAMPLES))
    first = next(iter(calibration.ranges().tensors.values()))
    kept = {**find_sensitive_inputs(calibration.model(), first, SCHEMES[scheme], error.batches), **excluded}

    def rated(variant: Variant) -> Variant:
        repairs = variant.graph_repairs
        params = variant.quantize_params(scheme)
        return replace(variant, error=error.of(quantize(calibration.model(repairs), calibration, repairs, params)))

    def all_methods(repairs: tuple[str, ...]) -> list[Variant]:
        tried = [rated(Variant(method=method, repairs=repairs, excluded=kept)) for method in calibration.methods]
        return sorted(tried, key=lambda one: one.error)

    try:
        plain = all_methods(() if forced is None else tuple(forced))
    except NoEffectError:  # nothing is computed in integers here: let the first recipe say so
        return [Variant(method=calibration.methods[0], excluded=kept)]
    if forced is not None:
        return plain
    best = plain[0]
    for name in (*GRAPH_REPAIRS, *(one for one in WEIGHT_REPAIRS if one not in COSTLY)):
        tried = replace(best, repairs=(*best.repairs, name))
        if name in GRAPH_REPAIRS and not calibration.changes(tried.graph_repairs):
            continue
        tried = rated(tried)
        if tried.error < WORTH * best.error:
            best = tried
    return [best, *(one for one in plain if one != best)]
