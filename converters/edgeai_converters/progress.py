"""Counting the steps of a job for a progress callback."""

from __future__ import annotations

from collections.abc import Callable

OnStep = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what begins now)."""


class Progress:
    """Steps done and to do; the total may change while a job finds out what there is to do."""

    def __init__(self, on_step: OnStep | None, *, total: int) -> None:
        self._on_step = on_step
        self._total = total
        self._done = -1

    def add(self, steps: int) -> None:
        """Change the total by `steps`."""
        self._total += steps

    def tell(self, label: str) -> None:
        """Tell how far the step under way is."""
        if self._on_step:
            self._on_step(self._done, self._total, label)

    def start(self, label: str) -> None:
        """Count what ran so far as done and tell what begins now."""
        self._done += 1
        self._total = max(self._total, self._done + 1)
        if self._on_step:
            self._on_step(self._done, self._total, label)
