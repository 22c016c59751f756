"""Value ranges for a search, found once per graph and data, and what they say about static int8."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.quantize.range_choice import rank_range_methods
from edgeai_converters.quantize.schemes import Scheme
from edgeai_converters.quantize.sensitive_inputs import find_sensitive_inputs
from edgeai_converters.spec import RangeMethod
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of

_FILE = "ranges.json"
_GUIDE_FILE = "guide.json"
_GUIDE_SAMPLES = 32
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


@dataclass(frozen=True, kw_only=True)
class Guide:
    """What calibration samples say about static int8 in one scheme; the search split decides.

    Attributes:
        methods: range methods, the one with the least output error first.
        excluded: nodes to keep in float because 8 bits are too few for what they read, with the reason.
    """

    methods: tuple[RangeMethod, ...]
    excluded: dict[str, str]


def guide(graph: FloatGraph, ranges: Ranges, scheme: Scheme, evidence: Evidence, work: WorkFolder) -> Guide:
    """Return which range methods to try in which order, and what to keep in float from the start."""

    def make(folder: Path) -> None:
        batches = list(evidence.calibration_batches(limit=_GUIDE_SAMPLES))
        first = next(iter(ranges.tensors.values()))
        excluded = find_sensitive_inputs(graph.model, first, scheme, batches)
        order = rank_range_methods(graph.model, ranges, scheme, batches, excluded=excluded)
        (folder / _GUIDE_FILE).write_text(json.dumps({"methods": order, "excluded": excluded}))

    key = {
        "graph": graph.digest,
        "data": evidence.digest,
        "ranges": digest_of(ranges),
        "scheme": scheme.name,
        "tools": tool_versions(),
    }
    document = json.loads((work.step("guide", key, make) / _GUIDE_FILE).read_text())
    return Guide(methods=tuple(document["methods"]), excluded=document["excluded"])
