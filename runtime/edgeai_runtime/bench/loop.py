"""The timing loop: several calls measured side by side, in short blocks whose order is drawn anew each round.

A machine drifts while one measures (clock, heat, neighbours). Interleaved blocks put that drift on every call alike, so
that a comparison within a round is fair even where the absolute figures wander. The loop knows neither model nor data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai_runtime.errors import UsageError

_BLOCK_MS = 2.0
_MOST_CALLS_PER_BLOCK = 4096
_MOST_ROUNDS = 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """What was measured of one call.

    Attributes:
        call_ms: float64 `[calls]`: every timed call, in the order they were made.
        round_ms: float64 `[rounds]`: the median call of each round's block. Rounds of calls that were measured
            together belong to each other.
    """

    call_ms: Any
    round_ms: Any


def interleave(
    calls: Mapping[str, Callable[[], object]],
    *,
    duration_s: float = 1.0,
    min_rounds: int = 15,
    warmup_s: float = 0.2,
    seed: int = 0,
    on_share: Callable[[float], object] | None = None,
) -> dict[str, Samples]:
    """Time several calls in interleaved blocks.

    First each call is warmed up. Then, round by round, each call runs one block, in an order drawn anew; a block is as
    many calls as last about 2 ms (one call, when it is slower), timed one by one with a counter that costs well under a
    microsecond. The first call of a block finds the caches cold: it is not counted when the block has more than one.

    Args:
        calls: what to time, by name; each is called without arguments.
        duration_s: how long to measure, for all calls together; warm-up comes on top.
        min_rounds: at least this many rounds, even when they last longer than `duration_s`.
        warmup_s: how long to warm up each call (at least one call).
        seed: of the order of blocks.
        on_share: progress, called between rounds (outside of what is timed) with the share of the work done, 0 to 1.

    Returns:
        The samples, by name; all have the same number of rounds.

    Raises:
        UsageError: there is nothing to time, or a number makes no sense.
    """
    if not calls:
        raise UsageError("there is no call to time")
    if min_rounds < 1 or duration_s < 0 or warmup_s < 0:
        raise UsageError(f"rounds and times are positive. Received: {min_rounds} rounds, {duration_s} s, {warmup_s} s")
    names = list(calls)
    lengths = {name: _block_length(calls[name], warmup_s) for name in names}
    order = np.random.default_rng(seed)
    blocks: dict[str, list[Any]] = {name: [] for name in names}
    start = time.perf_counter()
    for done in range(_MOST_ROUNDS):
        elapsed = time.perf_counter() - start
        if done >= min_rounds and elapsed >= duration_s:
            break
        if on_share is not None:
            on_share(min(done / min_rounds, elapsed / duration_s if duration_s else 1.0, 1.0))
        for place in order.permutation(len(names)):
            name = names[place]
            blocks[name].append(_time_block(calls[name], lengths[name]))
    return {
        name: Samples(call_ms=np.concatenate(parts), round_ms=np.array([np.median(part) for part in parts]))
        for name, parts in blocks.items()
    }


def _block_length(call: Callable[[], object], warmup_s: float) -> int:
    """Warm `call` up and return how many calls make a block (the one that is not counted included)."""
    clock = time.perf_counter
    times = []
    start = clock()
    while True:
        before = clock()
        call()
        now = clock()
        times.append(now - before)
        if now - start >= warmup_s:
            break
    typical_ms = float(np.median(times[-max(1, len(times) // 2) :])) * 1e3
    wanted = int(np.ceil(_BLOCK_MS / max(typical_ms, 1e-4)))
    return min(1 if wanted <= 1 else wanted + 1, _MOST_CALLS_PER_BLOCK)


def _time_block(call: Callable[[], object], length: int) -> Any:
    """Return the durations of `length` calls in milliseconds, the first left out when there are several."""
    clock = time.perf_counter_ns
    if length > 1:
        call()
    times = np.empty(max(1, length - 1))
    for index in range(len(times)):
        start = clock()
        call()
        times[index] = clock() - start
    return times * 1e-6
