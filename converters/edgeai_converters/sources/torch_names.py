"""Names of a PyTorch network's outputs, as far as it tells them: keys of dictionaries and fields of named tuples.

Tensors of a plain tuple have no names in PyTorch; they are called `output_0`, `output_1`, … by their position.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any


def output_names(answer: Any, *, taken: Collection[str] = ()) -> list[str] | None:
    """Return one name per tensor of what a network answers, in order; `None` when it tells no name at all.

    Args:
        answer: tensors in tuples, lists, named tuples and dictionaries, however nested. Anything else is a tensor.
        taken: names of the inputs, which no output may have.

    >>> output_names({"boxes": 0, "scores": (0, 0)})
    ['boxes', 'scores_0', 'scores_1']
    >>> output_names((0, {"scores": 0}))
    ['output_0', 'scores']
    >>> output_names((0, 0)) is None
    True
    """
    known = list(_names(answer, ""))
    if not any(known):
        return None
    names: list[str] = []
    for position, name in enumerate(known):
        chosen = name or f"output_{position}"
        while chosen in taken or chosen in names:
            chosen = f"{chosen}_output" if chosen in taken else f"{chosen}_{position}"
        names.append(chosen)
    return names


def _names(item: Any, prefix: str) -> Iterator[str]:
    """Yield the name of each tensor; an empty one where nothing tells it."""
    if isinstance(item, dict):
        for key, value in item.items():
            yield from _names(value, _join(prefix, str(key)))
    elif hasattr(item, "_fields"):
        for field in item._fields:
            yield from _names(getattr(item, field), _join(prefix, str(field)))
    elif isinstance(item, list | tuple):
        for position, value in enumerate(item):
            yield from _names(value, _join(prefix, str(position)) if prefix else "")
    else:
        yield prefix


def _join(prefix: str, name: str) -> str:
    return f"{prefix}_{name}" if prefix else name
