"""Calibration for a search: the float graph, repaired or not, with its value ranges; each found once per content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.search.repairs import GRAPH_REPAIRS
from edgeai_converters.spec import RangeMethod
from edgeai_converters.train.examples import Examples, SplitExamples
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of

_FILE = "ranges.json"


class Calibration:
    """What calibration samples tell of a graph, after any repairs of it.

    Attributes:
        methods: range methods that ranges are found by.
        work: where ranges are kept.
        tell: called with the progress of long work.
    """

    def __init__(
        self,
        graph: FloatGraph,
        evidence: Evidence,
        methods: tuple[RangeMethod, ...],
        work: WorkFolder,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.methods, self.work, self.tell = methods, work, tell
        self._graph, self._evidence = graph, evidence
        self._models: dict[tuple[str, ...], ir.Model] = {(): graph.model}
        self._changes: dict[tuple[str, ...], bool] = {}
        self._ranges: dict[tuple[str, ...], Ranges] = {}

    def digest(self, repairs: tuple[str, ...] = ()) -> str:
        """Return the digest of all that the ranges of the repaired graph depend on."""
        return digest_of([self._graph.digest, self._evidence.digest, self.methods, repairs, tool_versions()])

    def batches(self, limit: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield prepared calibration samples by input name, about `limit` of them."""
        return self._evidence.calibration_batches(limit)

    @property
    def training(self) -> Examples | None:
        """What may be trained on; `None` without any."""
        return SplitExamples(split=self._evidence.training) if self._evidence.training else None

    @property
    def training_digest(self) -> str | None:
        """Digest of what may be trained on."""
        return self._evidence.training.dataset.digest if self._evidence.training else None

    @property
    def search(self) -> Examples:
        """The samples that a training is judged on while it runs."""
        return SplitExamples(split=self._evidence.splits.search)

    def model(self, repairs: tuple[str, ...] = ()) -> ir.Model:
        """Return the float graph after repairs of `GRAPH_REPAIRS`, in the order given."""
        if repairs not in self._models:
            self._repair(repairs)
        return self._models[repairs]

    def changes(self, repairs: tuple[str, ...]) -> bool:
        """Say whether the last of the repairs changes anything in this graph."""
        if repairs not in self._changes:
            self._repair(repairs)
        return self._changes[repairs]

    def _repair(self, repairs: tuple[str, ...]) -> None:
        before = repairs[:-1]
        repair = GRAPH_REPAIRS[repairs[-1]]
        self._models[repairs], self._changes[repairs] = repair(self.model(before), lambda: self.ranges(before))

    def ranges(self, repairs: tuple[str, ...] = ()) -> Ranges:
        """Return the ranges of every value of the repaired graph by every method, from the calibration split."""
        if repairs not in self._ranges:
            model = self.model(repairs)

            def make(folder: Path) -> None:
                found = collect_ranges(model, self.batches(), methods=self.methods, channels=True)
                (folder / _FILE).write_text(json.dumps(ranges_to_json(found)))

            step = self.work.step("ranges", {"calibration": self.digest(repairs)}, make)
            self._ranges[repairs] = ranges_from_json(json.loads((step / _FILE).read_text()))
        return self._ranges[repairs]


def ranges_to_json(ranges: Ranges) -> dict[str, Any]:
    """Return ranges as a JSON object."""
    return {
        "tensors": ranges.tensors,
        "samples": ranges.samples,
        "channel_means": ranges.channel_means,
        "channel_maxima": ranges.channel_maxima,
    }


def ranges_from_json(document: dict[str, Any]) -> Ranges:
    """Return the ranges that `ranges_to_json` wrote."""
    tensors = {
        method: {name: (float(low), float(high)) for name, (low, high) in found.items()}
        for method, found in document["tensors"].items()
    }
    means, maxima = (
        {name: tuple(found) for name, found in document[key].items()} for key in ("channel_means", "channel_maxima")
    )
    return Ranges(tensors=tensors, samples=document["samples"], channel_means=means, channel_maxima=maxima)
