"""Labels of the places of axes, and which of them stand or fall together.

Every index of every axis of a known size above 1 has a label. Rules (`rules*.py`) tie labels together ("channel 3 of
this map is row 3 of that weight") or protect them, with a reason. What is tied is one channel in the end. An axis that
a node's rule did not mention is protected: what is not understood is never cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgeai_converters.graph.shapes import Dim, shape_of

Ids = NDArray[np.int64]
Role = Literal["produced", "read", "added", "factor", "state", "activation"]
"""What an axis is to a channel: the weights that make it or read it, a constant added to or multiplied with it,
the recurrent weights that do both, or a value that flows."""


class AxisLabels:
    """The labels of a graph under construction."""

    def __init__(self) -> None:
        self._ids: dict[tuple[ir.Value, int], Ids] = {}
        self._count = 0
        self._ties: list[tuple[Ids, Ids]] = []
        self._protected: list[tuple[Ids, str]] = []
        self._summed: list[tuple[Ids, str]] = []
        self._lifted: list[Ids] = []
        self._coupled: list[tuple[Ids, str]] = []
        self._touched: set[tuple[ir.Value, int]] = set()
        self._components: Ids | None = None
        self.roles: dict[tuple[ir.Value, int], Role] = {}
        self.later: list[Callable[[], None]] = []
        """What is decided when all nodes have spoken, in their order: which axis of a reshape carries channels."""

    # What rules say

    def ids(self, value: ir.Value | None, axis: int) -> Ids | None:
        """Return the labels of an axis; `None` when it has size 1, or a size or rank that is not known."""
        size = self.size(value, axis)
        if value is None or not isinstance(size, int) or size < 2:
            return None
        key = (value, axis % len(value.shape or ()))
        self._touched.add(key)
        if key not in self._ids:
            self._ids[key] = np.arange(self._count, self._count + size, dtype=np.int64)
            self._count += size
        return self._ids[key]

    @staticmethod
    def size(value: ir.Value | None, axis: int) -> Dim:
        """Return the size of an axis: a number, the name of a free size, or `None`."""
        shape = shape_of(value)
        return None if shape is None or not -len(shape) <= axis < len(shape) else shape[axis]

    def tie(self, a: Ids | None, b: Ids | None, *, where: str) -> None:
        """Say that label `a[i]` and label `b[i]` are cut together; without a partner, `a` or `b` is protected."""
        if a is None or b is None or a.shape != b.shape:
            for lone in (a, b):
                self.protect(lone, f"{where} has no partner of a known, equal size")
            return
        self._ties.append((a.reshape(-1), b.reshape(-1)))
        self._components = None

    def protect(self, ids: Ids | None, reason: str) -> None:
        """Say that these labels cannot be cut."""
        if ids is not None and ids.size:
            self._protected.append((ids.reshape(-1), reason))

    def sum_over(self, ids: Ids | None, reason: str) -> None:
        """Say that a node adds up over these labels without weights: a channel may only go when it is zero there."""
        if ids is not None:
            self._summed.append((ids.reshape(-1), reason))

    def lift(self, ids: Ids | None) -> None:
        """Say that a function that is not 0 at 0 is applied to these labels."""
        if ids is not None:
            self._lifted.append(ids.reshape(-1))

    def couple(self, ids: Ids | None, node: str) -> None:
        """Say that a node's other results change when one of these labels is cut (a norm over them)."""
        if ids is not None:
            self._coupled.append((ids.reshape(-1), node))

    def role(self, value: ir.Value | None, axis: int, role: Role) -> None:
        """Say what an axis of a constant is; the first word counts, except that `produced` overrules."""
        if value is not None and value.shape is not None:
            key = (value, axis % len(value.shape))
            if role == "produced" or key not in self.roles:
                self.roles[key] = role

    def protect_value(self, value: ir.Value | None, reason: str) -> None:
        """Protect all axes of a value."""
        for axis in range(len(shape_of(value) or ())):
            self.protect(self.ids(value, axis), reason)

    def protect_untouched(self, node: ir.Node, reason: str) -> None:
        """Protect the axes of the node's values that were not mentioned since `begin_node`."""
        for value in (*node.inputs, *node.outputs):
            for axis in range(len(shape_of(value) or ())):
                if (value, axis) not in self._touched:
                    self.protect(self.ids(value, axis), reason)

    def begin_node(self) -> None:
        """Forget which axes were mentioned."""
        self._touched.clear()

    # What follows from it

    def is_protected(self, ids: Ids) -> bool:
        """Tell whether all of the labels are tied to something protected."""
        components = self.components()
        marked = np.zeros(self._count, bool)
        for labels, _ in self._protected:
            marked[components[labels]] = True
        return bool(marked[components[ids.reshape(-1)]].all())

    def components(self) -> Ids:
        """Return, per label, the number of the set of labels that it is tied into."""
        if self._components is None or len(self._components) != self._count:
            empty = np.zeros(0, np.int64)
            rows = np.concatenate([empty, *(a for a, _ in self._ties)])
            columns = np.concatenate([empty, *(b for _, b in self._ties)])
            graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(self._count, self._count))
            _, found = connected_components(graph, directed=False)
            self._components = np.asarray(found, np.int64)
        return self._components

    def reasons(self) -> dict[int, str]:
        """Return the set's number → why it cannot be cut, for those that cannot."""
        components = self.components()
        found: dict[int, str] = {}
        lifted = {int(each) for ids in self._lifted for each in components[ids]}
        for ids, reason in self._protected:
            for each in np.unique(components[ids]):
                found.setdefault(int(each), reason)
        for ids, reason in self._summed:
            for each in np.unique(components[ids]):
                if int(each) in lifted:
                    found.setdefault(int(each), f"{reason}, where a removed channel would not be zero")
        return found

    def couplings(self) -> dict[int, tuple[str, ...]]:
        """Return the set's number → nodes whose other results change with a cut."""
        components = self.components()
        found: dict[int, list[str]] = {}
        for ids, node in self._coupled:
            for each in np.unique(components[ids]):
                found.setdefault(int(each), []).append(node)
        return {key: tuple(dict.fromkeys(names)) for key, names in found.items()}

    def labelled(self) -> dict[tuple[ir.Value, int], Ids]:
        """Return the labels of all axes that have some."""
        return self._ids


def names_of(node: ir.Node) -> str:
    """Return how messages call a node."""
    return f"{node.op_type} {node.name or (node.outputs[0].name if node.outputs else '')!r}"


def rank_of(value: ir.Value | None) -> int:
    """Return the number of axes of a value, 0 when it is not known."""
    return len(shape_of(value) or ())
