"""The steps of a recipe that come first and make another float graph: narrower, taught anew. One function per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.calibrate.dataset_function import digest_of_function
from edgeai_converters.calibrate.splits import Split
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.evaluate.metrics_outputs import classes_of_output
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.graph.boundary import output_specs
from edgeai_converters.prune.depth import remove_blocks
from edgeai_converters.prune.depth_blocks import find_blocks
from edgeai_converters.prune.groups import ChannelGroup, find_groups
from edgeai_converters.prune.importance import Importance
from edgeai_converters.prune.importance_taylor import own_loss, taylor_importance
from edgeai_converters.prune.low_rank import factorise
from edgeai_converters.prune.low_rank_plan import plan_low_rank
from edgeai_converters.prune.low_rank_spectrum import layer_moments
from edgeai_converters.prune.plan import plan_pruning
from edgeai_converters.prune.reconstruct import reconstruct_layers
from edgeai_converters.prune.slice import slice_channels
from edgeai_converters.train.augment import make_augment
from edgeai_converters.train.examples import SplitExamples
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step

Params = Mapping[str, Any]

_OWN = ("name", "augment", "samples")
"""Parameters of a `distill` step that are not those of a training."""

SAMPLES = 256
"""About how many calibration samples tell what channels and weights are worth."""


@dataclass(frozen=True, kw_only=True)
class Reshaping:
    """What the steps need of the job around them.

    Attributes:
        graph: the float graph of the source: the teacher.
        evidence: samples.
        folder: where checkpoints of trainings are kept.
        threads: that trainings use.
        tell: called with the progress of long work.
    """

    graph: FloatGraph
    evidence: Evidence
    folder: Path
    threads: int
    tell: Callable[[str], None]


def reshape(model: ir.Model, step: Step, job: Reshaping) -> tuple[ir.Model, str]:
    """Return the float graph after a step, and what to tell of it.

    Raises:
        UsageError: parameters that do not fit the graph, or data that was not given.
    """
    return RESHAPE[step.op](model, step.params, job)


def channel_worth(model: ir.Model, groups: Sequence[ChannelGroup], evidence: Evidence, *, seed: int = 0) -> Importance:
    """Return what channels are worth, `[size]` per group, relative to their group: the change of the loss (Taylor).

    Args:
        model: the graph.
        groups: its groups.
        evidence: calibration samples; the loss is the model's own, which needs no labels.
        seed: of the draws in that loss.
    """
    metric = evidence.metric
    classes = classes_of_output(output_specs(model)[0])
    scores = metric.needs_class_labels or (metric.name == "agreement" and (classes or 0) > 2)
    loss = own_loss(model, seed=seed, scores=scores)
    return taylor_importance(model, groups, ((batch, loss) for batch in evidence.calibration_batches(SAMPLES)))


def _prune(model: ir.Model, params: Params, job: Reshaping) -> tuple[ir.Model, str]:
    """Cut the channels that are worth least down to given widths, and fit their readers anew by least squares."""
    job.tell("cutting channels")
    groups = find_groups(model)
    worth = channel_worth(model, groups, job.evidence, seed=int(params.get("seed", 0)))
    plan = plan_pruning(groups, worth, keep=params["widths"], floors=0.0)
    smaller, changed = slice_channels(model, plan.cuts, groups=groups)
    if changed and params.get("reconstruct", True):
        batches = tuple(job.evidence.calibration_batches(SAMPLES))
        smaller, _ = reconstruct_layers(
            model,
            smaller,
            plan.cuts,
            groups,
            batches,
            on_step=lambda done, total, label: job.tell(f"fitting layer {done} of {total}"),
        )
    return smaller, f"{sum(map(len, plan.cuts.values()))} channels cut"


def _remove_blocks(model: ir.Model, params: Params, job: Reshaping) -> tuple[ir.Model, str]:
    job.tell("removing blocks")
    wanted = list(params["blocks"])
    blocks = [block for block in find_blocks(model) if block.id in wanted]
    if len(blocks) != len(wanted):
        raise UsageError(
            f"The graph has no block that ends at {sorted(set(wanted) - {one.id for one in blocks})[0]!r}."
        )
    return remove_blocks(model, blocks)[0], f"{len(blocks)} blocks removed"


def _low_rank(model: ir.Model, params: Params, job: Reshaping) -> tuple[ir.Model, str]:
    job.tell("factorising weights")
    moments = layer_moments(model, job.evidence.calibration_batches(SAMPLES))
    plan = plan_low_rank(model, rank=dict(params["ranks"]), moments=moments)
    return factorise(model, plan, moments=moments)[0], f"{len(plan.layers)} weights written as products"


def _distill(model: ir.Model, params: Params, job: Reshaping) -> tuple[ir.Model, str]:
    from edgeai_converters.train.distill import distill

    evidence = job.evidence
    if evidence.training is None:
        raise UsageError("Distillation needs data to train on.", hint="Give some with --train-data.")
    text = str(params.get("augment", "default"))
    augment, _ = make_augment(text, job.graph.inputs)
    metric = evidence.metric
    trained, training = distill(
        model,
        job.graph.model,
        training_of(params, threads=job.threads),
        SplitExamples(split=_part(evidence.training, params.get("samples"), seed=params.get("seed", 0))),
        search=SplitExamples(split=evidence.splits.search),
        metric=metric if metric.needs_labels else None,
        augment=augment,
        folder=job.folder,
        key=digest_of([evidence.digest, evidence.training.dataset.digest, text, digest_of_function(text)]),
        on_step=lambda done, total, label: job.tell(f"distilling: {label}"),
    )
    return trained, f"distilled for {training.epochs} passes, best after {training.best_epoch} ({training.ended})"


def _part(split: Split, samples: int | None, *, seed: int) -> Split:
    """Return about so many samples of a split, drawn; all of them for `None`."""
    if samples is None or samples >= len(split):
        return split
    chosen = np.random.default_rng(seed).permutation(len(split))[:samples]
    return Split(dataset=split.dataset, indices=np.asarray(split.indices)[np.sort(chosen)])


def training_of(params: Params, *, threads: int) -> TrainingSpec:
    """Return the training that a `distill` step asks for.

    Raises:
        UsageError: a parameter that there is not, or a value that makes no sense.
    """
    settings = {name: value for name, value in params.items() if name not in _OWN}
    known = [field.name for field in fields(TrainingSpec)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise UsageError(
            f"Unknown parameter of a distill step: {unknown[0]!r}.", hint=f"There are {', '.join((*_OWN, *known))}."
        )
    return TrainingSpec(**{"threads": threads, **settings})


RESHAPE: Mapping[str, Callable[[ir.Model, Params, Reshaping], tuple[ir.Model, str]]] = {
    "prune": _prune,
    "remove_blocks": _remove_blocks,
    "low_rank": _low_rank,
    "distill": _distill,
}
"""Step → what it does; the keys are those of `recipe.RESHAPING`."""
