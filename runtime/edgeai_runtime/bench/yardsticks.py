"""Fixed pieces of work, called in turns beside what is measured: how fast was the machine itself, round by round?

Whatever shares a core, its caches, the memory or the clock makes every program slower while it lasts, a network as well
as these, though not by the same factor. Since they never change, rounds in which they ran as fast as they ever did are
rounds in which nobody disturbed. Arithmetic in the first cache tells of a neighbour on the same core and of a lower
clock; copying more than the second cache holds tells of those who fill caches and memory.

Both run on the thread that calls the model: what disturbs the other cores of a model with several threads is seen only
as far as they share something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeai_runtime.bench.loop import Samples, interleave


def yardsticks() -> dict[str, Callable[[], object]]:
    """Return the works by name, each of about a tenth of a millisecond a call on a desktop.

    A name ends with a version, which changes with the work: times under two names are not compared.
    """
    source = np.ones(1 << 20, np.float32)  # 4 MiB, each page of its own: pages of zeros nobody wrote are all the same
    target = np.empty_like(source)
    return {"squares/1": sum_of_squares, "copy/1": lambda: np.copyto(target, source)}


def sum_of_squares() -> int:
    """Add up the squares below 2000, in Python itself."""
    total = 0
    for number in range(2000):
        total += number * number
    return total


def time_with_yardsticks(
    calls: Mapping[str, Callable[[], object]], *, duration_s: float, on_share: Callable[[float], object] | None = None
) -> tuple[dict[str, Samples], dict[str, Any]]:
    """Time calls as `interleave` does, and the yardsticks in the same rounds, whose blocks of 2 ms are in the duration.

    Returns:
        The samples by name, and per yardstick its median call in each round, as a list of milliseconds.
    """
    works = {f"\0{name}": work for name, work in yardsticks().items()}  # no artifact has such a name
    samples = interleave({**calls, **works}, duration_s=duration_s, on_share=on_share)
    return samples, {name[1:]: samples.pop(name).round_ms.tolist() for name in works}
