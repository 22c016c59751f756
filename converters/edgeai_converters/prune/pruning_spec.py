"""What pruning is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from edgeai_converters.prune.plan import FLOOR
from edgeai_converters.spec import DataSpec
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, Format, Step

MethodName = Literal["channels", "depth", "low-rank", "sparse", "clusters"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)

ImportanceName = Literal["l2", "l1", "activation", "taylor", "reconstruction"]
IMPORTANCES: tuple[ImportanceName, ...] = get_args(ImportanceName)

EnginePrecision = Literal["float32", "int8"]
ENGINE_PRECISIONS: tuple[EnginePrecision, ...] = get_args(EnginePrecision)

AmountName = Literal["share", "target_latency", "target_size", "blocks", "pattern", "clusters"]

AMOUNTS: Mapping[MethodName, Mapping[AmountName, Any]] = {
    "channels": {"share": 0.3, "target_latency": None, "target_size": None},
    "depth": {"blocks": 1, "share": None},
    "low-rank": {"share": 0.3},
    "sparse": {"share": 0.5, "pattern": None},
    "clusters": {"clusters": 16},
}
"""Method → ways to say how much; the first one with its value is meant when nothing is said."""


@dataclass(frozen=True, kw_only=True)
class PruneSpec:
    """What `prune` is asked for. How much goes is said by one amount, of those that `AMOUNTS` has for the method.

    Attributes:
        source: path of the trained model, of any kind.
        data: where samples come from; divided into calibration, search and certification as for `compress`.
        method: what goes: channels, whole blocks (`depth`), ranks of weights (`low-rank`), weights (`sparse`), or
            values that weights may take (`clusters`).
        share: what goes, above 0 and below 1: a share of all channels; of the trained values of all blocks; of the
            weights that can become products; of each weight's numbers.
        target_latency, target_size: latency in the target engine, or size of the file in its format, as a share of the
            whole network's, in (0, 1). Widths are chosen for it, and corrected until a measurement says so.
        engine_format: format of the target engine: where latency is measured.
        precision: precision that is measured there.
        blocks: how many blocks go.
        pattern: `(n, m)`: of m neighbours in a weight n stay.
        clusters: values that a weight may take.
        importance: what a channel is worth: size of its weights (`l2`, `l1`), of what it says (`activation`), of what
            the loss changes to first order (`taylor`), of what its readers lose (`reconstruction`).
        multiple_of: what the widths of layers are rounded up to, and ranks are multiples of.
        floor: share of its channels, or of its rank, that a layer keeps at least.
        reconstruct: fit the layers that read cut channels anew, from calibration samples.
        samples: about how many calibration samples are read, for importance and for fitting.
        metric: as for `compress`.
        max_drop: largest loss of quality against the source, a fraction; `None` for no limit.
        preprocessing: steps that turn one sample into the model's input, per input name.
        input_shapes: fixed shapes per input name.
        threads: most threads used by measurements.
        seed: seed of everything that draws.
    """

    source: Path
    data: DataSpec
    method: MethodName = "channels"
    share: float | None = None
    target_latency: float | None = None
    target_size: float | None = None
    engine_format: Format = "onnx"
    precision: EnginePrecision = "float32"
    blocks: int | None = None
    pattern: tuple[int, int] | None = None
    clusters: int | None = None
    importance: ImportanceName = "l2"
    multiple_of: int = 1
    floor: float = FLOOR
    reconstruct: bool = True
    samples: int = 256
    metric: str | None = None
    max_drop: float | None = None
    preprocessing: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    input_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.data.is_given:
            raise UsageError("Pruning needs samples, to refit layers and to measure the loss (--data).")
        _check_word("method", self.method, METHODS)
        _check_word("importance", self.importance, IMPORTANCES)
        _check_word("format of the engine", self.engine_format, FORMATS)
        _check_word("precision", self.precision, ENGINE_PRECISIONS)
        self._check_amount()
        if self.share is not None and not 0 < self.share < 1:
            raise UsageError(f"The share that goes lies between 0 and 1. Received: {self.share}")
        for name in ("target_latency", "target_size"):
            target = getattr(self, name)
            if target is not None and not 0 < target < 1:
                raise UsageError(
                    f"A target is a share of the whole network's {name[7:]}, between 0 and 1. Received: {target}"
                )
        if self.pattern is not None and not 0 < self.pattern[0] < self.pattern[1]:
            raise UsageError(f"Of m neighbours n stay, with 0 < n < m, as in 2:4. Received: {self.pattern}")
        if self.clusters is not None and self.clusters < 2:
            raise UsageError(f"A weight needs two clusters or more. Received: {self.clusters}")
        if not 0 <= self.floor <= 1:
            raise UsageError(f"The floor is a share between 0 and 1. Received: {self.floor}")
        for name in ("multiple_of", "samples", "threads", "blocks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more. Received: {value}")

    def _check_amount(self) -> None:
        allowed = AMOUNTS[self.method]
        given = [name for name in get_args(AmountName) if getattr(self, name) is not None]
        foreign = [name for name in given if name not in allowed]
        options = " or ".join(map(_option, allowed))
        if foreign:
            suits = [method for method, names in AMOUNTS.items() if foreign[0] in names]
            raise UsageError(
                f"{_option(foreign[0])} is not for the method {self.method}.",
                hint=f"With {self.method} {options} says how much; {_option(foreign[0])} is for {' and '.join(suits)}.",
            )
        if len(given) > 1:
            raise UsageError(
                f"How much goes is said once. Received: {' and '.join(map(_option, given))}.",
                hint=f"Give one of {options}.",
            )

    @property
    def amount(self) -> tuple[AmountName, Any]:
        """How much goes: the name of what says it, and its value."""
        for name in AMOUNTS[self.method]:
            if getattr(self, name) is not None:
                return name, getattr(self, name)
        return next(iter(AMOUNTS[self.method].items()))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_word(what: str, word: str, allowed: Sequence[str]) -> None:
    if word not in allowed:
        close = difflib.get_close_matches(str(word), allowed, n=1)
        hint = f"Did you mean {close[0]}?" if close else ""
        raise UsageError(f"Unknown {what}. Allowed: {', '.join(allowed)}. Received: {word!r}", hint=hint)
