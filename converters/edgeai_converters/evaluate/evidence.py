"""The evidence of one search: data, splits, the float source's outputs, and certificates made from them.

Calibration samples only ever feed ranges, search samples only ever screen, and the certification split is opened once
per variant. The float source is the simplified graph, which was held against the source's own engine before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset import Dataset, open_dataset
from edgeai_converters.calibrate.dataset_kinds import is_function
from edgeai_converters.calibrate.splits import Split, make_splits
from edgeai_converters.evaluate.certificate import certify
from edgeai_converters.evaluate.metrics import get_metric
from edgeai_converters.evaluate.metrics_outputs import classes_of_output
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.spec import CompressSpec
from edgeai_converters.step_assets import key_of_steps
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of
from edgeai_runtime.bundle_arrays import npz_bytes, read_npz
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import Certificate, Step

SplitName = Literal["search", "certification"]

_BATCH = 8
_NEAR_CHANCE = 2.0
"""A float source that is right less than this many times as often as guessing is not given the right samples."""

_OUTPUTS_FILE = "outputs.npz"
_SAMPLES_FILE = "samples.npz"


class Evidence:
    """Samples, splits and the float reference of one search.

    Attributes:
        metric: what is scored.
        splits: the three splits.
        training: samples to train on, none of them in the splits for search and certification; `None` without any.
        preprocessing: the steps really run, by input name: those asked for, and a cast where the dtype needed one.
        class_names: names of the classes, when the data tell them.
        notes: what a user should know about the data.
    """

    def __init__(self, spec: CompressSpec, graph: FloatGraph, work: WorkFolder) -> None:
        self._spec = spec
        self._graph = graph
        self._work = work
        self._texts: dict[int, str] = {}
        named = (spec.data.data, spec.data.calibration, spec.data.certification)
        datasets = [self._open(text) for text in named]
        self.splits = make_splits(*datasets)
        certification = self.splits.certification
        labels = certification.labels
        name = spec.metric or ("mae" if labels is not None and _are_targets(labels) else None)
        self.metric = get_metric(name, has_labels=labels is not None)
        if self.metric.needs_class_labels:
            for split in (self.splits.search, certification):
                split.dataset.check_labels(classes_of_output(graph.outputs[0]))
        self.preprocessing: dict[str, tuple[Step, ...]] = dict(certification.dataset.preprocessing)
        self.class_names = certification.dataset.class_names
        opened = [dataset for dataset in datasets if dataset is not None]
        self.training = self._open_training(spec.data.training)
        self.notes: tuple[str, ...] = (*(note for one in opened for note in one.notes), *self.splits.notes)

    @property
    def digest(self) -> str:
        """Digest of the samples, of how they are divided, and of the steps run on them with the files these name."""
        return digest_of([self.splits.digest, *key_of_steps(self.preprocessing)])

    def counts(self) -> dict[str, int]:
        """Return how many samples each split has."""
        return {name: len(getattr(self.splits, name)) for name in ("calibration", "search", "certification")}

    def calibration_batches(self, limit: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield prepared calibration samples, by input name, `[m, …]`; about `limit` of them."""
        size = self._batch_size()
        batches = self.splits.calibration.batches(size)
        return islice(batches, -(-limit // size)) if limit else batches

    def samples(self, split: SplitName) -> tuple[str, tuple[int, ...]]:
        """Return the text that names a split's data and the indices that belong to it."""
        found = self._split(split)
        return self._texts[id(found.dataset)], tuple(int(index) for index in found.indices)

    def certify(self, outputs: dict[str, NDArray[Any]], split: SplitName) -> Certificate:
        """Return the accuracy claim of outputs `[n, …]` over a split, against the float source on the same samples."""
        return certify(
            self.metric,
            source_outputs=self.source_outputs(split),
            outputs=self._in_order(outputs),
            labels=self._split(split).labels,
            max_drop=self._spec.budget.max_drop,
            split=split,
        )

    def source_outputs(self, split: SplitName) -> dict[str, NDArray[Any]]:
        """Return the float source's outputs over a split, by output name, `[n, …]`."""
        return self.outputs_of(self._graph, split)

    def outputs_of(self, graph: FloatGraph, split: SplitName) -> dict[str, NDArray[Any]]:
        """Return the outputs of the source's graph, or of one with the same boundary, over a split, likewise."""

        def make(folder: Path) -> None:
            (folder / _OUTPUTS_FILE).write_bytes(npz_bytes(self._run_graph(graph, self._split(split))))

        key = {
            "graph": graph.digest,
            "data": self.digest,
            "split": split,
            "tools": tool_versions(),
        }
        file = self._work.step("source", key, make) / _OUTPUTS_FILE
        return self._in_order(read_npz(file, where="outputs of the float source"))

    def chance_note(self, claim: Certificate) -> str:
        """Return a warning when the float source itself does no better than guessing on these samples, else nothing."""
        classes = classes_of_output(self._graph.outputs[0])
        if claim.metric != "top1" or not classes or classes < 3 or claim.source_score > _NEAR_CHANCE / classes:
            return ""
        return (
            f"The float source is right on {claim.source_score:.1%} of the samples, about what guessing among "
            f"{classes} classes gives: the samples probably need the steps that the model was trained with "
            "(preprocess), or the labels are in another order. A drop from this score means nothing."
        )

    def golden_samples(self, n: int) -> tuple[str, tuple[int, ...]]:
        """Return the text and indices of at most `n` samples for golden vectors, from the calibration split."""
        split = self._golden_split(n)
        return self._texts[id(split.dataset)], tuple(int(index) for index in split.indices)

    def golden(self, n: int) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return golden inputs before pre-processing, by input name, and the float source's outputs for them."""
        split = self._golden_split(n)
        raw = list(split.raw_batches(n))
        inputs = {spec.name: np.concatenate([batch[spec.name] for batch in raw]) for spec in self._graph.inputs}
        return inputs, self._run_graph(self._graph, split)

    def _in_order(self, outputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return outputs in the order of the graph: metrics of one output use the first."""
        return {spec.name: outputs[spec.name] for spec in self._graph.outputs}

    def _golden_split(self, n: int) -> Split:
        """Return the first samples that share the shape of the first one: golden inputs are one array."""
        split = self.splits.calibration
        first = next(iter(Split(dataset=split.dataset, indices=split.indices[:n]).raw_batches(n)))
        alike = len(next(iter(first.values())))
        return Split(dataset=split.dataset, indices=split.indices[:alike])

    def _split(self, name: SplitName) -> Split:
        return self.splits.search if name == "search" else self.splits.certification

    def _open(self, text: str | None) -> Dataset | None:
        if text is None:
            return None
        dataset = open_dataset(
            text,
            inputs=self._graph.inputs,
            preprocessing=self._spec.preprocessing,
            class_names=self._spec.labels,
        )
        if is_function(text):  # called once: children and later runs must see the same samples
            kept = self._keep(dataset)
            return self._open(kept)
        self._texts[id(dataset)] = text
        return dataset

    def _open_training(self, text: str | None) -> Split | None:
        """Open the data to train on, and refuse it when decisions or claims rest on the same samples."""
        dataset = self._open(text)
        if dataset is None:
            return None
        judged = (self.splits.search, self.splits.certification)
        known = {split.dataset.sample_hash(int(index)) for split in judged for index in split.indices}
        shared = sum(one in known for one in dataset.hashes)
        if shared:
            raise DataError(
                f"{shared} of the {len(dataset)} samples in {text} are also among those that accuracy is measured on "
                "(compared by content): samples used for training prove nothing.",
                hint="Take them out of the training data, or name other data with --data or --certification-data.",
            )
        return Split(dataset=dataset, indices=np.arange(len(dataset)))

    def _keep(self, dataset: Dataset) -> str:
        """Write the raw samples of a data set into the work folder and return the text that names them there."""

        def make(folder: Path) -> None:
            raw = list(dataset.raw_batches(np.arange(len(dataset)), len(dataset)))
            arrays = {spec.name: np.concatenate([one[spec.name] for one in raw]) for spec in self._graph.inputs}
            if dataset.labels is not None:
                arrays["y"] = dataset.labels
            (folder / _SAMPLES_FILE).write_bytes(npz_bytes(arrays))

        return str(self._work.step("samples", {"data": dataset.digest}, make) / _SAMPLES_FILE)

    def _batch_size(self) -> int:
        """Return how many samples the graph takes at once: its fixed batch size, else a modest number."""
        sizes = {spec.shape[0] for spec in self._graph.inputs if spec.shape}
        fixed = {size for size in sizes if size is not None}
        if fixed - {1}:
            raise DataError(
                f"The model has a fixed batch size of {max(fixed)}; accuracy and latency are measured at 1.",
                hint="Export it with a free batch dimension, or with batch size 1.",
            )
        return 1 if fixed else _BATCH

    def _run_graph(self, graph: FloatGraph, split: Split) -> dict[str, NDArray[Any]]:
        runner = GraphRunner(graph.model, threads=self._spec.threads)
        results = [runner.run(batch) for batch in split.batches(self._batch_size())]
        return {name: np.concatenate([one[name] for one in results]) for name in results[0]}


def _are_targets(labels: NDArray[Any]) -> bool:
    """Whether labels are real-valued targets of a regression, and not class indices."""
    return labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels))
