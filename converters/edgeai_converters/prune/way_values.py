"""Weights take fewer values: zeros among them, or a few clusters. Files pack better; CPUs compute the same."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from edgeai_converters.prune.clustering import cluster_weights
from edgeai_converters.prune.sparsity import sparsify
from edgeai_converters.prune.way import PruneJob, Smaller
from edgeai_converters.prune.weight_values import LEAST_ELEMENTS, describe_values
from edgeai_runtime.errors import ModelError

_HONEST = (
    "Latency on a CPU does not change, nor does the size of the file itself: kernels compute {what} as they compute "
    "any weight. The gain is the packed size (a download), and flash where a compiler packs weights for its hardware."
)
_NOT_KEPT = (
    "Clusters of float weights are lost when the model is quantized later, because each channel is rounded on a grid "
    "of its own; zeros are kept."
)


def prune_sparse(job: PruneJob) -> Smaller:
    """Make weights zero, by share or by pattern; samples choose, and the others make up for what went.

    Raises:
        ModelError: the graph has no weight that is large enough, or none that the pattern fits.
    """
    what, amount = job.spec.amount
    smaller, _ = sparsify(
        job.model,
        share=amount if what == "share" else None,
        pattern=amount if what == "pattern" else None,
        batches=job.batches,
        seed=job.spec.seed,
        on_step=lambda done, total, label: job.tell(f"zeros in {label}", done, total),
    )
    return _told(job, smaller, (_HONEST.format(what="zeros"),))


def prune_clusters(job: PruneJob) -> Smaller:
    """Let each weight take a few values only.

    Raises:
        ModelError: the graph has no weight that is large enough.
    """
    _, clusters = job.spec.amount
    job.tell("clusters of weights")
    smaller, _ = cluster_weights(job.model, clusters=clusters)
    return _told(job, smaller, (_HONEST.format(what="repeated values"), _NOT_KEPT))


def _told(job: PruneJob, smaller: ir.Model, notes: tuple[str, ...]) -> Smaller:
    before = {each.weight: each for each in describe_values(job.model)}
    weights: list[dict[str, Any]] = []
    for each in describe_values(smaller):
        whole = before[each.weight]
        if (each.zeros, each.distinct) != (whole.zeros, whole.distinct):
            weights.append(
                {
                    "weight": each.weight,
                    "elements": each.elements,
                    "zeros": {"before": whole.zeros, "after": each.zeros},
                    "distinct": {"before": whole.distinct, "after": each.distinct},
                }
            )
    if not weights:
        raise ModelError(
            "No weight of this model takes fewer values that way.",
            hint=f"Weights of fewer than {LEAST_ELEMENTS} numbers stay; a pattern has to divide their inputs.",
        )
    return Smaller(model=smaller, told={"weights": weights}, notes=notes)
