"""Names that are not taken yet: in a graph, two values never share one."""

from __future__ import annotations


def take_name(stem: str, taken: set[str]) -> str:
    """Return `stem`, or the first `stem_<i>` that is not in `taken`, and add it there.

    Example:
        >>> taken = {"x"}
        >>> take_name("x", taken), take_name("x", taken)
        ('x_1', 'x_2')
    """
    name, i = stem, 0
    while name in taken:
        i += 1
        name = f"{stem}_{i}"
    taken.add(name)
    return name
