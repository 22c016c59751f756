"""Making a network shallower: what its blocks are worth, which go, and the pass that takes them out.

    x → block → y → …   →   x → …         nothing is left of the block; a residual one was `y = x + f(x)`

Worth of a block, on samples: the error of the network's outputs without it. That takes one run per block. The angle by
which a block turns what flows through it (Gromov et al. 2024, arXiv:2403.17887, section 3.2; its cosine is the block
influence of ShortGPT, arXiv:2403.03853) takes one run for all blocks, but does not see what later layers make of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import replace_value
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_converters.graph.shapes import infer_shapes
from edgeai_converters.progress import OnStep
from edgeai_converters.prune.depth_blocks import Block
from edgeai_runtime.errors import DataError, ModelError, UsageError

Batches = Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class DepthPlan:
    """Which blocks go.

    Attributes:
        removed: those that go, in the order of the graph.
        worth: block → what it is worth when it was decided.
        parameters_before: trained values of all blocks that could go.
    """

    removed: tuple[Block, ...]
    worth: Mapping[str, float]
    parameters_before: int

    @property
    def parameters_after(self) -> int:
        """Trained values of the blocks that stay."""
        return self.parameters_before - sum(block.parameters for block in self.removed)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        removed = [
            asdict(block) | {"values": list(block.values), "weights": list(block.weights)} for block in self.removed
        ]
        return {"removed": removed, "worth": dict(self.worth), "parameters_before": self.parameters_before}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> DepthPlan:
        """Return the plan that `to_json` wrote."""
        removed = tuple(
            Block(**{**each, "values": tuple(each["values"]), "weights": tuple(each["weights"])})
            for each in document["removed"]
        )
        return DepthPlan(
            removed=removed,
            worth={str(name): float(value) for name, value in document["worth"].items()},
            parameters_before=int(document["parameters_before"]),
        )


def rank_blocks(
    model: ir.Model,
    blocks: Sequence[Block],
    batches: Batches,
    *,
    without: Sequence[Block] = (),
    on_step: OnStep | None = None,
) -> dict[str, float]:
    """Return block → worth: the relative error of the outputs without it, the mean over the outputs; 0 for none.

    Args:
        model: the graph.
        blocks: those to rank.
        batches: prepared inputs by name; read once for each block and once more.
        without: blocks that are gone already when the error is taken.
        on_step: called after each block.

    Raises:
        DataError: there is no batch.
    """
    if not batches:
        raise DataError("There are no calibration samples.", hint="Give at least one batch.")
    wanted = _outputs(model, batches)
    found = {}
    for done, block in enumerate(blocks):
        smaller, _ = remove_blocks(model, (*without, block))
        found[block.id] = _relative_error(wanted, _outputs(smaller, batches))
        if on_step is not None:
            on_step(done + 1, len(blocks), block.id)
    return found


def _outputs(model: ir.Model, batches: Batches) -> list[NDArray[np.float64]]:
    runner = GraphRunner(model)
    found = [runner.run(batch) for batch in batches]
    return [np.concatenate([each[name].reshape(-1) for each in found]).astype(np.float64) for name in runner.outputs]


def _relative_error(wanted: Sequence[NDArray[np.float64]], found: Sequence[NDArray[np.float64]]) -> float:
    errors = [
        float(np.linalg.norm(b - a) / max(float(np.linalg.norm(a)), 1e-30)) for a, b in zip(wanted, found, strict=True)
    ]
    return float(np.mean(errors))


def plan_depth(
    model: ir.Model,
    blocks: Sequence[Block],
    batches: Batches,
    *,
    count: int | None = None,
    share: float | None = None,
    on_step: OnStep | None = None,
) -> DepthPlan:
    """Decide which blocks go: the one worth least, then the one worth least of those left, ranked anew, and so on.

    Two blocks may stand in for each other, so worth counts what has gone before. Runs the network once per block
    that is left, for every block that goes.

    Args:
        model: the graph; not changed.
        blocks: its blocks.
        batches: calibration samples.
        count: how many go.
        share: least share of the trained values of all blocks that goes, in [0, 1].
        on_step: called after each block that was ranked.

    Raises:
        UsageError: none or both of `count` and `share` are given, or more than there is.
        DataError: there is no batch.
    """
    _check(blocks, count, share)
    gone: list[Block] = []
    worth: dict[str, float] = {}
    while not _is_enough(blocks, gone, count, share):
        left = [block for block in blocks if block not in gone]
        found = rank_blocks(model, left, batches, without=gone, on_step=on_step)
        worth |= found
        gone.append(min(left, key=lambda each: found[each.id]))
    return _plan(blocks, gone, worth)


def _check(blocks: Sequence[Block], count: int | None, share: float | None) -> None:
    if (count is None) == (share is None):
        raise UsageError("Say either how many blocks go, or what share of their weights.")
    if count is not None and not 0 <= count <= len(blocks):
        raise UsageError(f"There are {len(blocks)} blocks that can go. Received: {count}.")
    if share is not None and not 0 <= share <= 1:
        raise UsageError(f"The share of the blocks' weights that goes lies in [0, 1]. Received: {share}.")


def _is_enough(blocks: Sequence[Block], gone: Sequence[Block], count: int | None, share: float | None) -> bool:
    if count is not None:
        return len(gone) >= count
    assert share is not None
    return sum(each.parameters for each in gone) >= share * sum(each.parameters for each in blocks) - 1e-9


def _plan(blocks: Sequence[Block], gone: Sequence[Block], worth: Mapping[str, float]) -> DepthPlan:
    return DepthPlan(
        removed=tuple(block for block in blocks if block in gone),
        worth=dict(worth),
        parameters_before=sum(block.parameters for block in blocks),
    )


def remove_blocks(model: ir.Model, plan: DepthPlan | Sequence[Block]) -> tuple[ir.Model, bool]:
    """Return a copy of the graph without the blocks, and whether any went.

    Names of inputs, outputs and of all values that stay are kept.

    Args:
        model: the graph that the blocks were found in; not changed.
        plan: the blocks.

    Raises:
        UsageError: the graph has no such block.
        ModelError: a block cannot go because it joins an input of the graph to an output.
    """
    blocks = plan.removed if isinstance(plan, DepthPlan) else tuple(plan)
    if not blocks:
        return model, False
    model = model.clone()
    values = ir.convenience.create_value_mapping(model.graph)
    ends = {}
    for block in blocks:
        if block.id not in values or block.entry not in values:
            raise UsageError(f"The graph has no block that ends at {block.id!r}.")
        ends[block.id] = (values[block.entry], values[block.id])
    instead: dict[ir.Value, ir.Value] = {}
    for name, (entry, exit) in sorted(ends.items(), key=lambda item: _place(model, item[1][1])):
        source = instead.get(entry, entry)
        if not replace_value(model, exit, source):
            raise ModelError(f"Nothing would be left between an input and the output {name!r} of the graph.")
        instead[exit] = source
    remove_dead_nodes(model)
    infer_shapes(model)
    return model, True


def _place(model: ir.Model, value: ir.Value) -> int:
    producer = value.producer()
    return -1 if producer is None else tuple(model.graph).index(producer)
