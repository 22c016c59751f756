"""A progress bar on stderr, only on a terminal; elsewhere nothing is drawn."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

OnStep = Callable[[int, int, str], None]

_REDRAWS_PER_S = 2
"""Drawn by a thread of this process: at ten, what `bench` measures meanwhile takes visibly longer."""


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[OnStep | None]:
    """Yield an `on_step(done, total, label)` that draws a bar, or `None` when quiet or when stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=_REDRAWS_PER_S) as bar:
        task = bar.add_task("starting", total=None)

        def on_step(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total, description=label)

        yield on_step
