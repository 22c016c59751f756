"""What channels are worth, by the importance that was asked for. Where data have class labels, gradients use them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.metrics_outputs import classes_of_output
from edgeai_converters.prune.groups import ChannelGroup
from edgeai_converters.prune.importance import Importance, activation_importance, magnitude_importance
from edgeai_converters.prune.importance_reconstruction import reconstruction_importance
from edgeai_converters.prune.importance_taylor import own_loss, taylor_importance, with_labels
from edgeai_converters.prune.way import PruneJob
from edgeai_converters.train.losses import output_kinds
from edgeai_runtime.errors import DataError

_FILE = "importance.json"

LossName = Literal["labels", "own"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedChannels:
    """What channels are worth.

    Attributes:
        worth: group → worth of each channel, comparable between groups.
        loss: what gradients were taken of: the loss against `labels`, or against what the model itself says (`own`);
            `None` where no gradients were.
    """

    worth: Importance
    loss: LossName | None


def rank_channels(job: PruneJob, groups: Sequence[ChannelGroup]) -> RankedChannels:
    """Return what the channels are worth, by the importance that the job's spec names.

    Raises:
        MissingEngineError: `taylor`, and PyTorch is not installed.
    """
    importance = job.spec.importance
    if importance in ("l1", "l2"):
        worth = magnitude_importance(job.model, groups, norm=1 if importance == "l1" else 2)
        return RankedChannels(worth=worth, loss=None)
    labels = class_labels(job) if importance == "taylor" else None

    def make(folder: Path) -> None:
        if importance == "activation":
            worth = activation_importance(job.model, groups, job.batches)
        elif importance == "reconstruction":
            worth = reconstruction_importance(job.model, groups, job.batches, seed=job.spec.seed)
        else:
            worth = _by_gradients(job, groups, labels)
        (folder / _FILE).write_text(json.dumps({name: each.tolist() for name, each in worth.items()}))

    loss: LossName | None = None if importance != "taylor" else "own" if labels is None else "labels"
    folder = job.work.step("importance", {**job.key(), "importance": importance, "loss": loss}, make)
    document = json.loads((folder / _FILE).read_text())
    return RankedChannels(worth={name: np.asarray(each, np.float64) for name, each in document.items()}, loss=loss)


def class_labels(job: PruneJob) -> NDArray[np.int64] | None:
    """Return the class labels of the calibration samples `[n]`; `None` where there are none that gradients can use.

    That is: one class per sample, and an output `[n, classes]`, or one chance per sample behind a Sigmoid.
    """
    metric, split = job.evidence.metric, job.evidence.splits.calibration
    output = job.graph.outputs[0]
    if split.labels is None or (metric.needs_labels and not metric.needs_class_labels):
        return None
    try:
        labels = split.dataset.check_labels(classes_of_output(output))[split.indices]
    except DataError:  # targets of a regression, labels per token …: no class per sample
        return None
    kind = output_kinds(job.model, labels).get(output.name)
    columns = math.prod(size or 1 for size in output.shape[1:])
    fits = columns == 1 if kind == "chances" else columns > 1 and len(output.shape) == 2
    return np.asarray(labels, np.int64) if fits and kind != "values" else None


def _by_gradients(job: PruneJob, groups: Sequence[ChannelGroup], labels: NDArray[Any] | None) -> Importance:
    if labels is not None:
        return taylor_importance(job.model, groups, with_labels(job.model, job.batches, labels))
    metric = job.evidence.metric
    classes = classes_of_output(job.graph.outputs[0]) or 0
    scores = metric.needs_class_labels or (metric.name == "agreement" and classes > 2)
    loss = own_loss(job.model, seed=job.spec.seed, scores=scores)
    return taylor_importance(job.model, groups, ((batch, loss) for batch in job.batches))
