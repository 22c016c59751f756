"""Where a value's axes lie in memory: pure functions on permutations.

A value has *logical* axes, those of the graph (`N, C, H, W`), and lies in memory in a *physical* order, written as the
tuple of logical axes in physical order: `(0, 2, 3, 1)` is NHWC. The entry `UNIT` (-1) stands for a physical axis of
size 1 that the graph does not have: a 1-D convolution works on `(0, -1, 2, 1)`, that is N, 1, W, C.
"""

from __future__ import annotations

from collections.abc import Sequence

Permutation = tuple[int, ...]
Shape = tuple[int | None, ...]

UNIT = -1


def identity(rank: int) -> Permutation:
    """Return the order in which physical and logical axes are the same."""
    return tuple(range(rank))


def channels_last(rank: int) -> Permutation:
    """Return the order TFLite's spatial kernels want for a graph value `[N, C, W]` or `[N, C, H, W]`: always 4-D."""
    return {3: (0, UNIT, 2, 1), 4: (0, 2, 3, 1)}[rank]


def physical_shape(shape: Shape, order: Permutation) -> Shape:
    """Return the sizes in physical order."""
    return tuple(1 if axis == UNIT else shape[axis] for axis in order)


def physical_axis(order: Permutation, axis: int) -> int:
    """Return where a logical axis (not negative) lies."""
    return order.index(axis)


def transposed(order: Permutation, permutation: Sequence[int]) -> Permutation:
    """Return the order, for the logical axes after a graph Transpose, of memory that has not moved.

    After `Transpose(perm)`, new axis j is the old axis perm[j].
    """
    new_axis = {old: new for new, old in enumerate(permutation)}
    return tuple(UNIT if axis == UNIT else new_axis[axis] for axis in order)


def lowered(order: Permutation, missing: int) -> Permutation:
    """Return what a value with `missing` fewer leading axes must ask for, to be broadcast in memory with `order`."""
    return tuple(UNIT if axis < missing else axis - missing for axis in order)


def moves_only_units(shape: Shape, old: Permutation, new: Permutation) -> bool:
    """Tell whether going from one order to another moves only axes of size 1, so that no byte moves."""

    def essential(order: Permutation) -> list[int]:
        return [axis for axis in order if axis != UNIT and shape[axis] != 1]

    return essential(old) == essential(new)


def align_reshape(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]] | None:
    """Split a reshape into the smallest groups of axes that keep their number of elements.

    Returns pairs (old axes, new axes), in order; axes of size 1 are left out of all groups. `None` when free
    dimensions make that impossible: a free dimension must stand alone on both sides.

    >>> align_reshape((None, 8, 4, 4), (None, 8, 16))
    [([0], [0]), ([1], [1]), ([2, 3], [2])]
    """
    left = [axis for axis, size in enumerate(old) if size != 1]
    right = [axis for axis, size in enumerate(new) if size != 1]
    groups: list[tuple[list[int], list[int]]] = []
    while left and right:
        olds, news = [left.pop(0)], [right.pop(0)]
        old_size, new_size = old[olds[0]], new[news[0]]
        if old_size is None or new_size is None:
            if old_size is not new_size:
                return None
            groups.append((olds, news))
            continue
        while old_size != new_size:
            side, axes, sizes = (left, olds, old) if old_size < new_size else (right, news, new)
            if not side or sizes[side[0]] is None:
                return None
            size = sizes[side[0]]
            assert size is not None
            axes.append(side.pop(0))
            if axes is olds:
                old_size *= size
            else:
                new_size *= size
        groups.append((olds, news))
    return None if left or right else groups
