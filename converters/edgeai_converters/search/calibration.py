"""Value ranges for a search: found once per graph and data, and which range method to try first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.quantize.range_choice import rank_range_methods
from edgeai_converters.quantize.schemes import Scheme
from edgeai_converters.spec import RangeMethod
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of

_FILE = "ranges.json"
_ORDER_FILE = "order.json"
_GUIDE_SAMPLES = 64
"""Calibration samples that the range methods are compared on: a guide, the search split decides."""


def calibrate(graph: FloatGraph, evidence: Evidence, methods: Sequence[RangeMethod], work: WorkFolder) -> Ranges:
    """Return the ranges of every value by every method, from the calibration split."""

    def make(folder: Path) -> None:
        found = collect_ranges(graph.model, evidence.calibration_batches(), methods=tuple(methods))
        (folder / _FILE).write_text(json.dumps({"tensors": found.tensors, "samples": found.samples}))

    key = {"graph": graph.digest, "data": evidence.digest, "methods": methods, "tools": tool_versions()}
    document = json.loads((work.step("ranges", key, make) / _FILE).read_text())
    tensors = {
        method: {name: (float(low), float(high)) for name, (low, high) in found.items()}
        for method, found in document["tensors"].items()
    }
    return Ranges(tensors=tensors, samples=document["samples"])


def order_methods(
    graph: FloatGraph, ranges: Ranges, scheme: Scheme, evidence: Evidence, work: WorkFolder
) -> list[RangeMethod]:
    """Return the range methods, the one with the least output error on calibration samples first."""

    def make(folder: Path) -> None:
        batches = list(evidence.calibration_batches(limit=_GUIDE_SAMPLES))
        order = rank_range_methods(graph.model, ranges, scheme, batches)
        (folder / _ORDER_FILE).write_text(json.dumps(order))

    key = {
        "graph": graph.digest,
        "data": evidence.digest,
        "ranges": digest_of(ranges),
        "scheme": scheme.name,
        "tools": tool_versions(),
    }
    order: list[RangeMethod] = json.loads((work.step("order", key, make) / _ORDER_FILE).read_text())
    return order
