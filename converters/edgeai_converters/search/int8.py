"""The search for static int8 in one format: which recipe to try next, seeing what became of those before.

A generator that hands out recipes and is sent candidates; it measures nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edgeai_converters.recipe import Recipe
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.variant import Variant
from edgeai_runtime.manifest import Format, Step

GOOD_SHARE = 0.5
"""A drop on the search split of at most this share of the budget ends the search: little is left to gain."""

MOST_METHODS = 3
"""Ways without a node kept in float that are tried at most."""

Ladder = Callable[[Variant], Sequence[Mapping[str, str]]]
"""Variant → growing sets of nodes to keep in float, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Int8Search:
    """What the search for static int8 may choose from.

    Attributes:
        format: the format.
        scheme: name of its quantization scheme.
        variants: ways to quantize, the most promising first.
        max_drop: the budget's largest drop; `None` without one.
        refined: variant → the same with a range method for each value.
        by_sensitivity: sets of the most sensitive nodes to keep in float, when too much accuracy is lost.
        by_islands: sets of nodes whose conversions cost more than they gain, when int8 is slower than float.
        costly_repairs: repairs for when nothing else was enough.
        training: parameters of a quantization-aware training, for when they were not enough either; empty for none.
        finish: steps for the quantized graph.
    """

    format: Format
    scheme: str
    variants: tuple[Variant, ...]
    max_drop: float | None
    refined: Callable[[Variant], Variant]
    by_sensitivity: Ladder
    by_islands: Ladder
    costly_repairs: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    finish: tuple[Step, ...] = ()

    def run(self) -> Generator[Recipe, Candidate, None]:
        """Yield recipes, most promising first, until one is good or there is no better idea.

        Ways to quantize come first. When int8 is slower than float, what lies between conversions goes back to float.
        When it loses too much, each value gets a range method of its own, then the most sensitive nodes go back to
        float; if nothing is accepted even so, costly repairs and training follow.
        """
        tried: list[tuple[Variant, Candidate]] = []
        for variant in self.variants[:MOST_METHODS]:
            candidate = yield variant.recipe(self.format, self.scheme, finish=self.finish)
            if self.is_good(candidate) or candidate.limit in ("no_effect", "failed"):
                return
            tried.append((variant, candidate))
            if candidate.limit in _COSTS:
                break
        variant, candidate = min(tried, key=lambda one: _drop(one[1]))
        if candidate.limit in _COSTS and candidate.limit != "slower_than_float":
            return
        ladder = self.by_islands if candidate.limit == "slower_than_float" else self.by_sensitivity
        if ladder is self.by_sensitivity and (finer := self.refined(variant)) != variant:
            candidate = yield finer.recipe(self.format, self.scheme, finish=self.finish)
            if self.is_good(candidate):
                return
            tried.append((finer, candidate))
            variant = min(tried, key=lambda one: _drop(one[1]))[0]
        for excluded in ladder(variant):
            candidate = yield variant.without(excluded).recipe(self.format, self.scheme, finish=self.finish)
            if self.is_good(candidate) or candidate.limit in ("no_effect", "failed"):
                return
            tried.append((variant.without(excluded), candidate))
            if ladder is self.by_sensitivity and candidate.limit in _COSTS:
                break
        if any(one.status == "accepted" or one.limit in _COSTS for _, one in tried):
            return
        ideas = [replace(variant, repairs=(*variant.repairs, name)) for name in self.costly_repairs]
        if self.training:
            ideas.append(replace(variant, training=self.training))
        for idea in ideas:
            candidate = yield idea.recipe(self.format, self.scheme, finish=self.finish)
            if candidate.status == "accepted":
                return

    def is_good(self, candidate: Candidate) -> bool:
        """Say whether there is little left to gain over an accepted candidate.

        Little is `GOOD_SHARE` of the budget, or what a single sample of the search split makes.
        """
        if candidate.status != "accepted":
            return False
        drop = candidate.search_drop
        if candidate.certificate is None or drop is None or self.max_drop is None:
            return True
        return drop <= max(self.max_drop * GOOD_SHARE, 1 / candidate.certificate.n)


_COSTS = ("slower_than_float", "max_size", "max_latency", "max_memory", "device")


def _drop(candidate: Candidate) -> float:
    return float("inf") if candidate.search_drop is None else candidate.search_drop
