"""One way to quantize a graph in one scheme: what a `quantize` step and the repairs before it will say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgeai_converters.recipe import Recipe
from edgeai_converters.search.repairs import GRAPH_REPAIRS
from edgeai_converters.spec import RangeMethod
from edgeai_runtime.manifest import Format, Precision, Step


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Choices of static int8.

    Attributes:
        method: range method.
        methods: other range methods of single values.
        repairs: names of repairs, of graph and weights, in the order of their tables.
        training: parameters of a quantization-aware training before quantizing; empty for none.
        excluded: nodes kept in float, with the reason.
        error: output error that a simulation on calibration samples gave; a guide.
    """

    method: RangeMethod
    methods: Mapping[str, RangeMethod] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    error: float = float("inf")

    @property
    def graph_repairs(self) -> tuple[str, ...]:
        """The repairs made before calibration."""
        return tuple(name for name in GRAPH_REPAIRS if name in self.repairs)

    @property
    def weight_repairs(self) -> tuple[str, ...]:
        """The repairs made once it is decided how weights are stored."""
        return tuple(name for name in self.repairs if name not in GRAPH_REPAIRS)

    def quantize_params(self, scheme: str) -> dict[str, object]:
        """Return the parameters of the `quantize` step."""
        params: dict[str, object] = {"scheme": scheme, "method": self.method}
        if self.methods:
            params["methods"] = dict(self.methods)
        if self.excluded:
            params["excluded"] = dict(self.excluded)
        if self.weight_repairs:
            params["weights"] = list(self.weight_repairs)
        return params

    def recipe(
        self, format: Format, scheme: str, *, precision: Precision = "int8", finish: tuple[Step, ...] = ()
    ) -> Recipe:
        """Return the recipe that makes an artifact this way, with steps that `finish` the quantized graph."""
        return Recipe(
            format=format,
            precision=precision,
            steps=(
                *(Step(op=name) for name in self.graph_repairs),
                *([Step(op="train_quantized", params=dict(self.training))] if self.training else []),
                Step(op="quantize", params=self.quantize_params(scheme)),
                *finish,
                Step(op="emit", params={"format": format}),
            ),
        )

    def without(self, excluded: Mapping[str, str]) -> Variant:
        """Return the variant with more nodes kept in float."""
        return replace(self, excluded={**self.excluded, **excluded})
