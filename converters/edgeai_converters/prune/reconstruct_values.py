"""Inner values of a graph over all batches, one stage after the other, each node run once.

    batches ─ [stage 1] ─ values that later stages read ─ [stage 2] ─ …

What a stage computes may be changed until it is asked for: constants are read then. Values that no later node reads
are let go; where those that stay would take more than `LARGEST_HELD`, stages start from the batches again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner

LARGEST_HELD = 2**30
"""Bytes of inner values, over all batches, above which they are computed anew instead of held."""

Arrays = dict[str, NDArray[Any]]


class StagedValues:
    """The values of a graph on some batches.

    Args:
        model: the graph; constants of nodes that did not run yet may change.
        batches: inputs by name; run in pieces of the graph's own batch size where that is fixed.
        wanted: names of the values that will be asked for, stage by stage.

    Attributes:
        sizes: samples of each batch that is run.
    """

    def __init__(
        self, model: ir.Model, batches: Sequence[Mapping[str, NDArray[Any]]], wanted: Sequence[Sequence[str]]
    ) -> None:
        self._model = model
        self._inputs = _of_fixed_size(model, batches)
        self._wanted = [list(dict.fromkeys(names)) for names in wanted]
        self.sizes = tuple(len(next(iter(batch.values()))) for batch in self._inputs)
        self._held: list[Arrays] = [dict(batch) for batch in self._inputs]
        self._ran: set[ir.Node] = set()
        self._stage = 0
        self._anew = False

    def next_stage(self) -> list[Arrays]:
        """Return the values of the next stage, by name, batch by batch."""
        names, self._stage = self._wanted[self._stage], self._stage + 1
        if self._anew:
            runner = GraphRunner(self._model, outputs=names)
            return [runner.run(batch) for batch in self._inputs]
        values = ir.convenience.create_value_mapping(self._model.graph)
        later = {name for listed in self._wanted[self._stage :] for name in listed}
        new = self._behind([values[name] for name in names])
        self._ran |= new
        kept = {name for name, value in values.items() if name in later or self._is_read(value)}
        made = [str(value.name) for node in new for value in node.outputs if value.name in kept or value.name in names]
        if new:
            runner = GraphRunner(self._segment(new, made, values))
            computed = [runner.run(held) for held in self._held]
            for held, found in zip(self._held, computed, strict=True):
                held.update(found)
        results = [{name: held[name] for name in names} for held in self._held]
        self._held = [{name: array for name, array in held.items() if name in kept} for held in self._held]
        if sum(array.nbytes for held in self._held for array in held.values()) > LARGEST_HELD:
            self._anew, self._held = True, []
        return results

    def _behind(self, values: Sequence[ir.Value]) -> set[ir.Node]:
        """Return the nodes that must run for some values, without those that ran."""
        new: set[ir.Node] = set()
        waiting = [value.producer() for value in values]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in new and node not in self._ran:
                new.add(node)
                waiting.extend(value.producer() for value in node.inputs if value is not None)
        return new

    def _is_read(self, value: ir.Value) -> bool:
        """Tell whether a node that did not run reads a value that was computed or given."""
        known = value.is_graph_input() or value.producer() in self._ran
        return known and any(use.node not in self._ran for use in value.uses())

    def _segment(self, nodes: set[ir.Node], made: Sequence[str], values: Mapping[str, ir.Value]) -> ir.Model:
        """Return the nodes as a graph of their own, from values that are held to those that are made."""
        read = dict.fromkeys(
            str(value.name)
            for node in nodes
            for value in node.inputs
            if value is not None and value.producer() not in nodes and not value.is_initializer()
        )
        part = ir.convenience.extract(self._model.graph, list(read), [values[name] for name in made])
        return ir.Model(part, ir_version=self._model.ir_version)


def _of_fixed_size(model: ir.Model, batches: Sequence[Mapping[str, NDArray[Any]]]) -> list[Arrays]:
    """Return the batches in pieces of the graph's own size, where it has one."""
    sizes = {value.shape[0] for value in model.graph.inputs if value.shape is not None and len(value.shape)}
    fixed = next(iter(sizes)) if len(sizes) == 1 else None
    if not isinstance(fixed, int):
        return [dict(batch) for batch in batches]
    return [
        {name: array[start : start + fixed] for name, array in batch.items()}
        for batch in batches
        for start in range(0, len(next(iter(batch.values()))), fixed)
    ]
