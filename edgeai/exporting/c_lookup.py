"""Steps on single bytes as a table: what each of the 256 values is stored as, worked out by the runtime itself.

A chain that ends in steps on single values (`cast`, `scale`, `normalize`, …), between which elements are only moved,
and that begins with 8-bit integers, gives one stored number per value, or per value and channel. The device looks it
up: no arithmetic in floating point, and the runtime's very bits.

    raw uint8 → crop → cast → normalize → layout → quantize     becomes     raw → crop → layout → table[channel][value]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai_runtime.manifest import Step
from edgeai_runtime.record import replace
from edgeai_runtime.transforms.pipeline import apply_steps

MOST_ROWS = 4
"""Tables are kept for this many channels at most: 256 stored numbers each."""

VALUE_STEPS = {"cast", "scale", "normalize", "dequantize", "sigmoid"}
_MOVES = {"crop", "pad", "channels", "layout", "expand"}


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Where a table begins and what is in it.

    Attributes:
        start: the number of steps before it.
        moves: the steps after those that move elements; they come before the table.
        rows: [channels, 256] of the stored type; one row where all channels are alike.
        axis: of the moved sample, whose index is the row.
    """

    start: int
    moves: tuple[Step, ...]
    rows: Any
    axis: int


def find_lookup(steps: Sequence[Step], traced: Sequence[Any], store: Callable[[Any], Any]) -> Lookup | None:
    """Return the longest end of a chain that a table can do, or `None`.

    Args:
        steps: the chain.
        traced: arrays of one sample as they are before each step and after the last; only shapes and types are used.
        store: what is done after the steps: quantization.
    """
    for start in range(len(steps) + 1):
        tail = steps[start:]
        if traced[start].dtype in (np.uint8, np.int8) and _is_single(tail):
            return _filled(start, tail, traced[start:], store)
    return None


def is_move(step: Step) -> bool:
    """Say whether a step only moves elements."""
    return step.op in _MOVES or (step.op == "resize" and step.params.get("method") == "nearest")


def _is_single(steps: Sequence[Step]) -> bool:
    """Say whether the steps are on single values or move them, and none fills in values of its own between."""
    has_value = False
    for step in steps:
        if not is_move(step) and step.op not in VALUE_STEPS:
            return False
        if has_value and step.op == "pad":
            return False
        has_value = has_value or step.op in VALUE_STEPS
    return True


def _filled(start: int, steps: Sequence[Step], traced: Sequence[Any], store: Callable[[Any], Any]) -> Lookup | None:
    axes: set[int] = set()
    given: list[tuple[Step, Any]] = []
    for place, step in enumerate(steps):
        if step.op not in VALUE_STEPS:
            continue
        channels = _channels_at_the_end(steps[place + 1 :], traced[place], step) if _has_channels(step) else None
        if channels is not None:
            axes.add(channels[0])
        given.append((step, channels[1] if channels is not None else None))
    lengths = {len(order) for _, order in given if order is not None}
    if len(axes) > 1 or len(lengths) > 1 or max(lengths, default=1) > MOST_ROWS:
        return None
    values = np.arange(256, dtype=np.uint8).view(traced[0].dtype).reshape(256, 1)
    rows = [
        store(apply_steps([_for_channel(step, order, row) for step, order in given], values)).reshape(256)
        for row in range(max(lengths, default=1))
    ]
    alike = all(np.array_equal(row, rows[0]) for row in rows)
    return Lookup(
        start=start,
        moves=tuple(step for step in steps if step.op not in VALUE_STEPS),
        rows=np.stack(rows[:1] if alike else rows),
        axis=next(iter(axes), 0),
    )


def _has_channels(step: Step) -> bool:
    return any(isinstance(each, (list, tuple)) and len(each) > 1 for each in step.params.values())


def _channels_at_the_end(steps: Sequence[Step], array: Any, step: Step) -> tuple[int, Any]:
    """Follow a step's channels through the moves after it: the axis of the sample where they end, and their order."""
    axis = int(step.params.get("axis", -1)) % array.ndim
    shape = [1] * array.ndim
    shape[axis] = array.shape[axis]
    numbers = np.broadcast_to(np.arange(array.shape[axis]).reshape(shape), (1, *array.shape[1:]))
    moved = apply_steps([each for each in steps if each.op not in VALUE_STEPS], numbers)
    found = next((each for each in range(1, moved.ndim) if np.ptp(moved, axis=each).any()), moved.ndim - 1)
    return found - 1, np.moveaxis(moved, found, 0).reshape(moved.shape[found], -1)[:, 0]


def _for_channel(step: Step, order: Any, row: int) -> Step:
    if order is None:
        return step
    channel = int(order[row])
    one = {
        name: each[channel if len(each) > 1 else 0] if isinstance(each, (list, tuple)) else each
        for name, each in step.params.items()
    }
    return replace(step, params={**one, "axis": -1})
