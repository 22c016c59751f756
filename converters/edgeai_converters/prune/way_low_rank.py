"""Weights become products of two smaller ones, of ranks that calibration samples decide."""

from __future__ import annotations

from edgeai_converters.prune.low_rank import factorise
from edgeai_converters.prune.low_rank_layers import factorable_layers
from edgeai_converters.prune.low_rank_plan import plan_low_rank
from edgeai_converters.prune.low_rank_spectrum import layer_moments
from edgeai_converters.prune.way import PruneJob, Smaller
from edgeai_runtime.errors import ModelError


def prune_low_rank(job: PruneJob) -> Smaller:
    """Write weights as products, until a share of those of all layers that can is gone.

    Raises:
        ModelError: the graph has no weight that gets smaller as a product.
        UsageError: the share cannot be reached with the floor asked for.
    """
    if not factorable_layers(job.model):
        raise ModelError(
            "No weight of this model gets smaller as a product of two.",
            hint="Dense layers, embeddings and convolutions without groups can, where they are large.",
        )
    job.tell("directions that samples use")
    moments = layer_moments(job.model, job.batches)
    _, share = job.spec.amount
    plan = plan_low_rank(
        job.model, share=share, moments=moments, multiple_of=job.spec.multiple_of, floor=job.spec.floor
    )
    if not plan.layers:
        raise ModelError(
            "No weight of this model gets smaller as a product of two, of ranks that may be chosen.",
            hint="Ask for a lower floor, or ranks that are multiples of less (--multiple-of).",
        )
    job.tell("writing products")
    smaller, _ = factorise(job.model, plan, moments=moments)
    document = plan.to_json()
    weights = {"before": plan.parameters_before, "after": plan.parameters_after}
    return Smaller(model=smaller, told={"products": {"layers": document["layers"], "parameters": weights}})
