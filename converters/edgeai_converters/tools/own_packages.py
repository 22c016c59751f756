"""Which packages are installed beside ours; nothing is imported to find out."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable


def missing_here(modules: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that this environment does not have.

    >>> missing_here(["json", "no_such_module"])
    ('no_such_module',)
    """
    return tuple(name for name in modules if importlib.util.find_spec(name) is None)
