"""What pruning is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from edgeai_converters.prune.plan import FLOOR
from edgeai_converters.spec import DataSpec
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step

ImportanceName = Literal["l2", "l1", "activation", "taylor", "reconstruction"]
IMPORTANCES: tuple[ImportanceName, ...] = get_args(ImportanceName)


@dataclass(frozen=True, kw_only=True)
class PruneSpec:
    """What `prune` is asked for.

    Attributes:
        source: path of the trained model, of any kind.
        data: where samples come from; divided into calibration, search and certification as for `compress`.
        share: share of all channels that goes, above 0 and below 1.
        importance: what a channel is worth: size of its weights (`l2`, `l1`), of what it says (`activation`), of what
            the loss changes to first order (`taylor`), of what its readers lose (`reconstruction`).
        multiple_of: what the widths of layers are rounded up to.
        floor: share of its channels that a group keeps at least.
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
    share: float = 0.3
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
            raise UsageError("Pruning needs samples: to fit layers anew, and to say what was lost (--data).")
        if not 0 < self.share < 1:
            raise UsageError(f"The share of channels to cut lies between 0 and 1. Received: {self.share}")
        if not 0 <= self.floor <= 1:
            raise UsageError(f"The floor is a share between 0 and 1. Received: {self.floor}")
        if self.importance not in IMPORTANCES:
            raise UsageError(f"Unknown importance. Allowed: {', '.join(IMPORTANCES)}. Received: {self.importance!r}")
        for name in ("multiple_of", "samples", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more. Received: {getattr(self, name)}")
