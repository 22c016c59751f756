"""Multiply-accumulates of an operation from its shapes. `None` in, `None` out: an unknown shape gives no number."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int | None] | None


def elements(shape: Shape) -> int | None:
    """Return the number of elements, or `None` when any dimension is unknown."""
    if shape is None:
        return None
    known = [size for size in shape if size is not None]
    return prod(known) if len(known) == len(shape) else None


def per_element(shape: Shape, kernel: Shape) -> int | None:
    """MACs of an operation that does one product per value of `kernel` for each element of `shape`.

    A convolution: `shape` is its output `[N, M, …]` and `kernel` one filter `[C / groups, …]`. A transposed one:
    `shape` is its input and `kernel` what one input value is spread over `[M / groups, …]`. A matrix product: `shape`
    is its output and `kernel` is `[K]`.
    """
    count, size = elements(shape), elements(kernel)
    return None if count is None or size is None else count * size


def recurrent(sequence: Shape, *weights: Shape) -> int | None:
    """MACs of a recurrent layer: every weight once per step and sample; `sequence` is `[steps, batch]`."""
    sizes = [elements(each) for each in weights]
    steps = elements(sequence)
    if steps is None or any(size is None for size in sizes):
        return None
    return steps * sum(size for size in sizes if size is not None)
