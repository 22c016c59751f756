"""A recipe: the ordered steps that make a variant out of the float graph. Data, never code; it can be replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, get_args

from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, Format, Precision, Step

_UNNAMED = ("emit", "integer_boundary", "qoperator")
"""Steps that are not part of an id: all candidates of a search have them or none, or the precision says it."""

_NAMED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "cluster_weights": lambda params: f"clusters{params['clusters']}",
    "sparsify": lambda params: "zeros" + "of".join(map(str, params.get("pattern", (params.get("share"),)))),
}
"""Steps that are in an id with what they are told: a search tries them with several values."""

RESHAPING = ("prune", "remove_blocks", "low_rank", "distill")
"""Steps that come first and make another float graph, which all that follows begins with."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The steps of one variant.

    Attributes:
        format: what is written.
        precision: what it is called by.
        steps: what makes another float graph (`RESHAPING`), repairs of it, how values are stored, then `emit`.
    """

    format: Format
    precision: Precision
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """A short name, unique within one search: `tflite-int8-mse-equalize-float3`."""
        parts: list[str] = [self.format, self.precision]
        repairs: list[str] = [name_of(self.base)] if self.base else []
        for step in self.steps[len(self.base) :]:
            if step.op == "quantize":
                parts.append(str(step.params["method"]) + ("+" if step.params.get("methods") else ""))
                repairs += step.params.get("weights", ())
                kept = len(step.params.get("excluded") or ())
                repairs += [f"float{kept}"] if kept else []
            elif step.op in _NAMED:
                repairs.append(_NAMED[step.op](step.params))
            elif step.op not in _UNNAMED and not step.op.startswith("store_"):
                repairs.append(step.op)
        return "-".join([*parts, *repairs])

    @property
    def base(self) -> tuple[Step, ...]:
        """The leading steps that make another float graph; empty when it begins with the source's."""
        return tuple(takewhile(lambda step: step.op in RESHAPING, self.steps))

    def on(self, base: tuple[Step, ...]) -> Recipe:
        """Return the recipe with steps before it that make another float graph."""
        return replace(self, steps=(*base, *self.steps))

    @property
    def is_trained(self) -> bool:
        """Whether weights are trained on data given for it."""
        return any(step.op.startswith("train") or step.op == "distill" for step in self.steps)

    @property
    def is_rounded(self) -> bool:
        """Whether values are rounded so much that only samples can tell what it costs."""
        return self.precision in ("int8", "int4", "int16x8")

    @property
    def is_calibrated(self) -> bool:
        """Whether samples are needed to make it."""
        return any(step.op in ("quantize", "gptq", *RESHAPING) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `read_recipes` reads."""
        steps = [{"op": step.op, **step.params} for step in self.steps]
        return {"format": self.format, "precision": self.precision, "recipe": steps}


def name_of(base: tuple[Step, ...]) -> str:
    """Return what a reshaped network is called: what its last cut says, and whether it was taught."""
    names = [str(step.params.get("name", step.op)) for step in base if step.op != "distill"]
    return "-".join([*names[-1:], *(["distilled"] if base[-1].op == "distill" else [])])


def read_recipes(document: Any, *, where: str) -> tuple[Recipe, ...]:
    """Return the recipes of a JSON document: one recipe, a list of them, or what `compress --json` printed.

    Of a whole search the recipes of the accepted candidates are taken.

    Args:
        document: the parsed document.
        where: what to call it in errors.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(document, Mapping) and "candidates" in document:
        found = document["candidates"]
        document = [one for one in found if isinstance(one, Mapping) and one.get("status") == "accepted"]
    objects = document if isinstance(document, list) else [document]
    recipes = tuple(_read_recipe(one, where=where) for one in objects)
    if not recipes:
        raise UsageError(f"There is no accepted candidate in {where}.")
    return recipes


def _read_recipe(document: Any, *, where: str) -> Recipe:
    hint = "A recipe is what `edgeai compress --json` prints for a candidate: format, precision, recipe: [{op, …}]."
    if not isinstance(document, Mapping) or not isinstance(document.get("recipe"), list):
        raise UsageError(f"There is no recipe in {where}.", hint=hint)
    if document.get("format") not in FORMATS or document.get("precision") not in get_args(Precision):
        raise UsageError(
            f"The recipe in {where} has an unknown format or precision: "
            f"{document.get('format')!r}, {document.get('precision')!r}.",
            hint=hint,
        )
    steps = []
    for step in document["recipe"]:
        if not isinstance(step, Mapping) or not isinstance(step.get("op"), str):
            raise UsageError(f"A step of the recipe in {where} has no `op`. Received: {step!r}", hint=hint)
        steps.append(Step(op=step["op"], params={key: value for key, value in step.items() if key != "op"}))
    return Recipe(format=document["format"], precision=document["precision"], steps=tuple(steps))
