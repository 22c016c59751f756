"""Whole blocks go: those that the outputs miss least, ranked anew after each."""

from __future__ import annotations

from dataclasses import asdict

from edgeai_converters.prune.depth import plan_depth, remove_blocks
from edgeai_converters.prune.depth_blocks import find_blocks
from edgeai_converters.prune.way import PruneJob, Smaller
from edgeai_runtime.errors import ModelError

_NOTE = (
    "The layers after a removed block have never seen such inputs: train the network again (`edgeai distill`) where "
    "it lost too much."
)


def prune_depth(job: PruneJob) -> Smaller:
    """Take out blocks: as many as asked for, or until their share of the weights is gone.

    Raises:
        ModelError: the graph has no block that can go.
        UsageError: there are fewer blocks than asked for.
    """
    job.tell("looking for blocks")
    blocks = find_blocks(job.model)
    if not blocks:
        raise ModelError(
            "This model has no block that can go.",
            hint="A block is a residual branch, or a layer whose output has the shape of its input.",
        )
    what, amount = job.spec.amount
    plan = plan_depth(
        job.model,
        blocks,
        job.batches,
        count=amount if what == "blocks" else None,
        share=amount if what == "share" else None,
        on_step=lambda done, total, label: job.tell(f"without the block {label}", done, total),
    )
    smaller, _ = remove_blocks(job.model, plan)
    gone = [
        {**asdict(block), "values": list(block.values), "weights": list(block.weights), "worth": plan.worth[block.id]}
        for block in plan.removed
    ]
    told = {
        "blocks": {
            "found": [block.id for block in blocks],
            "removed": gone,
            "parameters": {"before": plan.parameters_before, "after": plan.parameters_after},
        }
    }
    return Smaller(model=smaller, told=told, notes=(_NOTE,))
