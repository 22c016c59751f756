"""How wide an axis of a graph is, when groups have given widths; what that makes of a value's size and of a network's.

Widths are numbers of channels by group; a group that is not named is whole. All here is arithmetic on shapes: no graph
is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import onnx_ir as ir

from edgeai_converters.graph.shapes import static_shape
from edgeai_converters.prune.groups import ChannelGroup, prunable

Widths = Mapping[str, int]
"""Group → its channels that stay."""

STEPS = 8
"""Widths of a group that are looked at: every 8th of the whole."""


class Cost(Protocol):
    """What widths cost, as a share of what the whole network costs."""

    def predict_ratio(self, widths: Widths) -> float:
        """Return the cost with these widths over that of the whole network."""
        ...


@dataclass(frozen=True, kw_only=True)
class AxisWidth:
    """An axis: places that always stay, and those that belong to channels of groups.

    Attributes:
        fixed: places of no group that can be cut.
        terms: (group, its channels, places of this axis per channel).
    """

    fixed: int
    terms: tuple[tuple[str, int, float], ...] = ()

    def at(self, widths: Widths) -> int:
        """Return the places that are left, 1 at least."""
        found = self.fixed + sum(each * min(size, widths.get(name, size)) for name, size, each in self.terms)
        return max(1, round(found))

    def at_share(self, share: float) -> int:
        """Return the places that are left when every group keeps the same share."""
        return self.at({name: width_at(size, share) for name, size, _ in self.terms})

    def reachable(self, steps: int) -> set[int]:
        """Return the places that are left when every group has any of its `candidate_widths`."""
        found = {float(self.fixed)}
        for _, size, each in self.terms:
            found = {places + each * width for places in found for width in candidate_widths(size, steps=steps)}
        return {max(1, round(places)) for places in found}

    @property
    def whole(self) -> int:
        """The places when nothing is cut."""
        return self.at({})

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"fixed": self.fixed, "terms": [list(term) for term in self.terms]}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> AxisWidth:
        """Return the axis that `to_json` wrote."""
        terms = tuple((str(name), int(size), float(each)) for name, size, each in document["terms"])
        return AxisWidth(fixed=int(document["fixed"]), terms=terms)


Axes = tuple[AxisWidth, ...]
"""The axes of a value."""


def elements(axes: Axes, widths: Widths) -> int:
    """Return the number of elements of a value."""
    return math.prod(axis.at(widths) for axis in axes)


def width_at(size: int, share: float) -> int:
    """Return the width nearest to a share of a group, 1 at least."""
    return max(1, min(size, round(size * share)))


def candidate_widths(size: int, *, steps: int = STEPS) -> tuple[int, ...]:
    """Return the widths of a group that are looked at, ascending; the last one is the whole.

    Example:
        >>> candidate_widths(64, steps=4)
        (16, 32, 48, 64)
    """
    return tuple(sorted({width_at(size, step / steps) for step in range(1, steps + 1)}))


class GraphAxes:
    """The axes of every value of a graph whose shapes are known."""

    def __init__(self, model: ir.Model, groups: Iterable[ChannelGroup]) -> None:
        self._terms: dict[tuple[str, int], list[tuple[str, int, float]]] = {}
        for group in prunable(groups):
            for member in group.members:
                each = sum(map(len, member.places)) / group.size
                self._terms.setdefault((member.value, member.axis), []).append((group.id, group.size, each))
        self._model = model

    def axis(self, value: ir.Value | None, axis: int) -> AxisWidth | None:
        """Return one axis of a value; `None` when the shape is not known."""
        axes = self.of(value)
        return axes[axis] if axes and -len(axes) <= axis < len(axes) else None

    def of(self, value: ir.Value | None) -> Axes | None:
        """Return the axes of a value; `None` when the shape is not known."""
        shape = static_shape(value)
        if value is None or shape is None:
            return None
        return tuple(self._axis(str(value.name), axis, size) for axis, size in enumerate(shape))

    def _axis(self, name: str, axis: int, size: int) -> AxisWidth:
        terms = tuple(self._terms.get((name, axis), ()))
        return AxisWidth(fixed=size - round(sum(size * each for _, size, each in terms)), terms=terms)


@dataclass(frozen=True, kw_only=True)
class ParameterCost:
    """A network's size as a cost: the number of its trained values. See `parameter_cost`.

    Attributes:
        constants: the axes of every constant of real numbers.
    """

    constants: tuple[Axes, ...]

    def predict(self, widths: Widths) -> int:
        """Return the number of trained values."""
        return sum(elements(axes, widths) for axes in self.constants)

    def predict_ratio(self, widths: Widths) -> float:
        """Return it as a share of the whole network's."""
        return self.predict(widths) / max(1, self.predict({}))


def parameter_cost(model: ir.Model, groups: Iterable[ChannelGroup]) -> ParameterCost:
    """Return the cost that counts trained values; exact, for cuts take whole channels.

    Args:
        model: the float graph, simplified.
        groups: its groups.
    """
    axes = GraphAxes(model, groups)
    reals = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
    found = (axes.of(value) for value in model.graph.initializers.values() if value.dtype in reals and value.uses())
    return ParameterCost(constants=tuple(each for each in found if each is not None))
