"""What came of holding a model against a device: checks that pass or fail, and the ways to its hardware."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

WayKind = Literal["delegate", "compiler", "export"]


@dataclass(frozen=True, kw_only=True)
class FitCheck:
    """One thing that must hold.

    Attributes:
        name: what is checked: `format`, `precision`, `shapes`, `operators`, `delegates`, `accelerator`, `flash`, `ram`.
        ok: whether it holds.
        limit: what is allowed; `None` where nothing is known of it.
        value: what the model has.
        detail: in words.
        mend: the step after which it holds; empty where it does, or where none is known.
    """

    name: str
    ok: bool
    limit: int | str | tuple[str, ...] | None
    value: int | str | tuple[str, ...] | None
    detail: str
    mend: str = ""


_FOLLOWS_FROM = {
    "operators": {"precision"},
    "delegates": {"precision", "operators", "shapes"},
    "accelerator": {"precision", "operators", "shapes"},
}
"""Checks that cannot hold where another one does not."""


@dataclass(frozen=True, kw_only=True)
class LeftOver:
    """Operators that a way does not take, for one reason.

    Attributes:
        operator: its name.
        labels: names of the outputs of those it concerns.
        reason: why.
        mend: the step after which it is taken, where one is known.
    """

    operator: str
    labels: tuple[str, ...]
    reason: str
    mend: str = ""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Why a way cannot be used for a model, and the step after which it can, where one is known."""

    cause: Literal["shapes", "operators"]
    reason: str
    mend: str = ""


@dataclass(frozen=True, kw_only=True)
class WayFit:
    """What one way to the hardware takes of a model.

    Attributes:
        way: a delegate of the runtime, a compiler, or an export.
        kind: which of these.
        hardware: `cpu`, `gpu`, `npu` or `unknown`.
        coverage: share of the operators that it takes; `None` for a model without any.
        left: what it does not take.
        blocks: why it cannot be used; empty when it can.
        notes: conditions that are reported, not checked, and operators that run slowly.
    """

    way: str
    kind: WayKind
    hardware: str
    coverage: float | None
    left: tuple[LeftOver, ...] = ()
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def eligible(self) -> bool:
        """Whether it can be used for this model."""
        return not self.blocks

    def blocked_by(self, cause: Literal["shapes", "operators"]) -> Block | None:
        """Return what keeps it out for that cause, or `None`."""
        return next((block for block in self.blocks if block.cause == cause), None)


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """A model held against a device.

    Attributes:
        device: the profile's id.
        verified: how far edgeai was tried on the device.
        checks: all that was checked; the model fits when all hold.
        ways: delegates, compilers and exports that take the model's format, best first.
        notes: what the figures leave out.
    """

    device: str
    verified: str
    checks: tuple[FitCheck, ...]
    ways: tuple[WayFit, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    @property
    def failed(self) -> tuple[FitCheck, ...]:
        """The checks that do not hold, less those that only follow from another one of them."""
        broken = [check for check in self.checks if not check.ok]
        names = {check.name for check in broken}
        return tuple(check for check in broken if not names & _FOLLOWS_FROM.get(check.name, set()))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the model does not fit, one line per check of `failed`."""
        return tuple(check.detail for check in self.failed)

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys, of plain lists, texts and numbers."""
        document: dict[str, Any] = _plain(asdict(self))
        for way, shown in zip(self.ways, document["ways"], strict=True):
            shown["eligible"] = way.eligible
        return {"ok": self.ok, **document}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
