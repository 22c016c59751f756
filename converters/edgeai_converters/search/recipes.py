"""Which recipes a search tries, in which order: data out of the spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeai_converters.search.candidate import Recipe
from edgeai_converters.spec import CompressSpec, RangeMethod
from edgeai_runtime.manifest import Format, Step


def float_recipe(format: Format) -> Recipe:
    """Return the recipe of the reference that every other candidate of the format is held against."""
    return Recipe(format=format, precision="float32", steps=(Step(op="emit", params={"format": format}),))


def compressed_recipes(
    spec: CompressSpec,
    format: Format,
    *,
    scheme: str | None,
    methods: Sequence[RangeMethod],
    excluded: Mapping[str, str] | None = None,
) -> list[Recipe]:
    """Return the recipes of one format besides float32, the cheap ones first.

    Args:
        spec: what the user asked for.
        format: the format.
        scheme: quantization scheme of static int8 there.
        methods: range methods for static int8, best first; empty when there is no calibration data.
        excluded: nodes that static int8 keeps in float, with the reason.
    """
    emit = Step(op="emit", params={"format": format})
    kept = {"excluded": dict(excluded)} if excluded else {}
    recipes = []
    if "float16" in spec.precisions:
        recipes.append(Recipe(format=format, precision="float16", steps=(Step(op="store_float16"), emit)))
    if "dynamic_int8" in spec.precisions:
        recipes.append(Recipe(format=format, precision="dynamic_int8", steps=(Step(op="store_int8_weights"), emit)))
    if "int8" in spec.precisions:
        recipes += [
            Recipe(
                format=format,
                precision="int8",
                steps=(Step(op="quantize", params={"scheme": scheme, "method": method, **kept}), emit),
            )
            for method in methods
        ]
    return recipes
