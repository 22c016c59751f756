"""Channels go: by share, or as many as a measured target needs; then the layers that read them are fitted anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgeai_converters.prune.channel_ranking import rank_channels
from edgeai_converters.prune.engine_cost import TargetKind, layers_told, measured_cost, predicted_cost
from edgeai_converters.prune.groups import ChannelGroup, find_groups, prunable
from edgeai_converters.prune.importance import Importance
from edgeai_converters.prune.plan import PruningPlan, plan_pruning
from edgeai_converters.prune.reconstruct import reconstruct_layers
from edgeai_converters.prune.slice import slice_channels
from edgeai_converters.prune.way import PruneJob, Smaller
from edgeai_converters.prune.width_target import TargetedWidths, choose_widths
from edgeai_converters.prune.widths_axes import STEPS, width_at
from edgeai_runtime.errors import ModelError, UsageError

_KINDS: dict[str, TargetKind] = {"target_latency": "latency", "target_size": "size"}


def prune_channels(job: PruneJob) -> Smaller:
    """Cut the channels that are worth least.

    Raises:
        ModelError: no channel of the graph can be cut.
        UsageError: nothing is left to cut by share, floor and widths asked for; or a target of latency is asked for
            and shapes are free.
    """
    spec = job.spec
    groups = find_groups(job.model)
    protected = {group.id: group.reason for group in groups if group.reason}
    if not prunable(groups):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(protected.items())[:3])
        raise ModelError("No channel of this model can be cut.", hint=reasons)
    job.tell(f"importance of channels ({spec.importance})")
    ranked = rank_channels(job, groups)
    what, amount = spec.amount
    told: dict[str, Any] = {"importance": spec.importance, "importance_loss": ranked.loss}
    if what == "share":
        plan = plan_pruning(groups, ranked.worth, share=amount, floors=spec.floor, multiple_of=spec.multiple_of)
        notes = _notes_of_share(plan, amount)
    else:
        chosen, of_target = _for_target(job, groups, ranked.worth, _KINDS[what], amount)
        plan = plan_pruning(groups, ranked.worth, keep=chosen.widths)
        told |= of_target
        notes = _notes_of_target(chosen, _KINDS[what])
    if not plan.cuts:
        raise UsageError(
            "No channel would go.",
            hint="Ask for a larger share, a lower floor, or widths that are multiples of less (--multiple-of).",
        )
    job.tell("cutting")
    smaller, fitted = slice_channels(job.model, plan.cuts, groups=groups)[0], False
    if spec.reconstruct:
        smaller, fitted = reconstruct_layers(
            job.model,
            smaller,
            plan.cuts,
            groups,
            job.batches,
            seed=spec.seed,
            on_step=lambda done, total, label: job.tell(f"fitted layer: {label}", done, total),
        )
    told |= {
        "share": plan.share,
        "widths": {name: {"before": size, "after": plan.widths[name]} for name, size in plan.sizes.items()},
        "protected": protected,
        "reconstructed": fitted,
    }
    return Smaller(model=smaller, told=told, notes=notes)


def _for_target(
    job: PruneJob, groups: Sequence[ChannelGroup], worth: Importance, kind: TargetKind, target: float
) -> tuple[TargetedWidths, dict[str, Any]]:
    """Return widths for a target, and what to tell of them."""
    cut = tuple(group for group in prunable(groups) if group.id in worth)
    cost = predicted_cost(job, cut, kind)
    found = choose_widths(
        cut,
        worth,
        cost,
        measured_cost(job, cut, kind),
        target=target,
        floor=job.spec.floor,
        steps=_steps(cut, worth, job.spec.multiple_of),
    )
    told = {
        "kind": kind,
        "asked": target,
        "predicted": found.predicted,
        "measured": found.measured,
        "trials": [asdict(trial) for trial in found.trials],
        "taken_back": list(found.taken_back),
        "held": list(found.held),
    }
    return found, {"target": told, "layers": layers_told(cost, found.widths)}


def _steps(groups: Sequence[ChannelGroup], worth: Importance, multiple_of: int) -> dict[str, tuple[int, ...]]:
    """Return the widths that may be chosen: every 8th of the whole, rounded up as asked."""
    found: dict[str, set[int]] = {group.id: set() for group in groups}
    for step in range(1, STEPS + 1):
        keep = {group.id: width_at(group.size, step / STEPS) for group in groups}
        plan = plan_pruning(groups, worth, keep=keep, multiple_of=multiple_of)
        for name, width in plan.widths.items():
            found[name].add(width)
    return {name: tuple(sorted(widths)) for name, widths in found.items()}


def _notes_of_share(plan: PruningPlan, share: float) -> tuple[str, ...]:
    if plan.share >= 0.9 * share:
        return ()
    return (
        f"Only {plan.share:.1%} of the channels went, not {share:.1%}: the floor or the multiples of the widths hold "
        "the rest.",
    )


def _notes_of_target(found: TargetedWidths, kind: TargetKind) -> tuple[str, ...]:
    notes = []
    if found.taken_back:
        notes.append(
            f"{len(found.taken_back)} cuts were taken back, because the {kind} that each saved was less than one "
            f"percent of the whole: {', '.join(found.taken_back)}."
        )
    if found.held:
        notes.append(
            f"{len(found.held)} cuts save little each, but without them the target would be missed: "
            f"{', '.join(found.held)}."
        )
    if not found.met:
        notes.append(
            f"No widths were found whose {kind} is within the target; these are the nearest. A lower floor (--floor), "
            "or fewer multiples (--multiple-of), leaves more to cut."
        )
    return tuple(notes)
