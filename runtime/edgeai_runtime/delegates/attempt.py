"""Try delegates one after another until one loads and satisfies the placement; when none does, say why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from edgeai_runtime.engines.table import is_usual
from edgeai_runtime.errors import EdgeAIError, EngineError, MissingEngineError, ModelError, PlacementError
from edgeai_runtime.placement import Attempt, Placement

_Owner = TypeVar("_Owner")
_Loaded = TypeVar("_Loaded")


class PassedOver(PlacementError):
    """A candidate that was not even tried, and why; `use_first` reports it as skipped and goes on."""


def use_first(
    candidates: Sequence[tuple[_Owner, str]],
    asked: Placement,
    load: Callable[[_Owner, str, list[Attempt]], tuple[_Loaded, Attempt]],
) -> tuple[_Loaded, tuple[Attempt, ...]]:
    """Return what `load` gives for the first candidate that loads, and the attempts up to it.

    Args:
        candidates: pairs of what to load (its `str()` is the variant's id) and a delegate's name, best first.
        asked: the placement; decides the order and what is skipped.
        load: loads one candidate and returns it with its attempt; appends what it tried before to the list it is given.
            May raise `EngineError`, `ModelError` or `PlacementError`.

    Raises:
        PlacementError: no delegate satisfies the placement.
        MissingEngineError: none of the engines is installed.
        EdgeAIError: the error of the only candidate, or one that lists those of all.
    """
    ordered, attempts = list(candidates), list[Attempt]()
    if asked != Placement() or not all(is_usual(delegate) for _, delegate in candidates):
        from edgeai_runtime.delegates.choose import order_delegates

        ordered, attempts = order_delegates(candidates, asked)
    failures: list[EdgeAIError] = []
    for owner, delegate in ordered:
        before = len(attempts)
        try:
            loaded, used = load(owner, delegate, attempts)
        except (EngineError, ModelError, PlacementError) as error:
            failures.append(error)
            if len(attempts) == before:
                skipped = isinstance(error, PassedOver)
                attempts.append(
                    Attempt(
                        delegate=delegate,
                        outcome="skipped" if skipped else "failed",
                        reason=error.message,
                        variant=str(owner),
                    )
                )
            continue
        return loaded, (*attempts, used)
    raise _nothing_loaded(asked, attempts, failures)


def _nothing_loaded(asked: Placement, attempts: Sequence[Attempt], failures: Sequence[EdgeAIError]) -> EdgeAIError:
    if not failures or any(isinstance(error, PlacementError) for error in failures):
        from edgeai_runtime.delegates.choose import placement_error

        return placement_error(asked, attempts)
    if len(failures) == 1:
        return failures[0]
    listing = "".join(f"\n  {a.delegate}: {a.reason}" for a in attempts if a.outcome == "failed")
    missing = [error for error in failures if isinstance(error, MissingEngineError)]
    if len(missing) == len(failures):
        hint = " or ".join(dict.fromkeys(error.hint for error in missing))
        return MissingEngineError(f"none of the engines that can run this is installed:{listing}", hint=hint)
    first = next(error for error in failures if not isinstance(error, MissingEngineError))
    return EngineError(f"none of the variants could be loaded:{listing}", hint=first.hint)
