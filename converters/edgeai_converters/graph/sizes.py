"""Arithmetic on sizes of which some are free: a size is a number, a name, or a product of them, as in `4*batch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Dim = int | str | None
"""A number, a free size by its name (or product), or `None` for one that is not known."""

_Product = tuple[int, Counter[str]]


def product(sizes: Iterable[Dim]) -> Dim:
    """Return the product of sizes; `None` when one of them is not known.

    >>> product([4, "batch", 10])
    '40*batch'
    """
    number, names = 1, Counter[str]()
    for size in sizes:
        if size is None:
            return None
        factor, more = _factors(size)
        number *= factor
        names += more
    return _written(number, names)


def quotient(whole: Dim, part: Dim) -> Dim:
    """Return `whole / part` when that is a whole size, else `None`.

    >>> quotient("40*batch", "4*batch")
    10
    """
    if whole is None or part is None:
        return None
    (number, names), (divisor, taken) = _factors(whole), _factors(part)
    if divisor == 0 or number % divisor or taken - names:
        return None
    return _written(number // divisor, names - taken)


def _factors(size: int | str) -> _Product:
    if isinstance(size, int):
        return size, Counter()
    head, _, rest = size.partition("*")
    if head.isdigit() and rest:
        return int(head), Counter(rest.split("*"))
    return 1, Counter(size.split("*"))


def _written(number: int, names: Counter[str]) -> Dim:
    if not names:
        return number
    words = sorted(names.elements())
    return "*".join(words if number == 1 else [str(number), *words])
