"""What gates are asked and what they answer, as data: limits of a target, what was made for it, one verdict per limit.

Not here: how a limit is judged (`gates.py`), how limits are written (`edgeai.toml`: `config.py`).

Sizes are bytes, times milliseconds, memory MiB; shares and drops are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

Accuracy = Literal["certified", "unproven"]
ACCURACIES: tuple[Accuracy, ...] = get_args(Accuracy)
GateDevice = Literal["npu", "gpu", "cpu"]
GATE_DEVICES: tuple[GateDevice, ...] = get_args(GateDevice)
SLOWER_LIMIT = 0.05
"""How much slower than the last release is no break, unless told otherwise: what a quiet machine can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What must hold of what was made for a target; `None` asks nothing.

    Attributes:
        size_bytes: largest artifact: each variant of the bundle must keep it.
        latency_ms: largest median latency on the machine that builds.
        latency_ratio: largest median latency as a share of float's in the same engine and run.
        memory_mib: largest growth of peak memory by loading and running an artifact.
        accuracy: `certified` (the samples prove the limit on the drop), or `unproven` (no sample contradicts it).
        coverage: least share of operations on `coverage_device`.
        coverage_device: what `coverage` is about.
        not_slower_than: a bundle, usually the last release, measured beside in the same run.
        slower_limit: how much slower than that is no break.
    """

    size_bytes: int | None = None
    latency_ms: float | None = None
    latency_ratio: float | None = None
    memory_mib: float | None = None
    accuracy: Accuracy | None = None
    coverage: float | None = None
    coverage_device: GateDevice = "npu"
    not_slower_than: Path | None = None
    slower_limit: float = SLOWER_LIMIT


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One limit, judged.

    Attributes:
        name: the key of the limit in `edgeai.toml`: `size`, `latency`, `memory`, `accuracy`, `coverage`,
            `not_slower_than`.
        ok: whether it holds; what could not be told does not hold.
        limit: the limit, as a number or a word; of `not_slower_than` the bundle's path.
        value: what was found, worst first where there are several variants; `None` when it could not be told.
        reason: one line for people: which variant, what was found, what was allowed.
        where: `model/target`.
    """

    name: str
    ok: bool
    limit: float | str
    value: float | str | None
    reason: str
    where: str


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """What was made for one target of one model.

    Attributes:
        model: name of the model in `edgeai.toml`.
        target: name of the target.
        device: id of the device profile; `None` when the target names none.
        artifacts: the files copied to the output folder, the bundle first when there is one.
        bundle: the bundle among them; always made, even where only exports were asked for.
        candidates: of the compress document, those in the bundle, best first (`CANDIDATE` of `compress --json`).
        report: the file with the whole compress document.
        document: its content.
        placements: per id of a variant, shares of operations by device, as its engine told on this machine; only
            where a gate asks for coverage. A variant that is missing could not be loaded.
        fit: of `edgeai check` for the bundle and the device, the document; `None` when the target names no device.
        compiled: per output that a device's compiler made (`ethos-u`), what the compiler tells of it
            (`CompileReport.to_json`).
    """

    model: str
    target: str
    device: str | None
    artifacts: tuple[Path, ...]
    bundle: Path
    candidates: tuple[Mapping[str, Any], ...]
    report: Path
    document: Mapping[str, Any]
    placements: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fit: Mapping[str, Any] | None = None
    compiled: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """`model/target`."""
        return f"{self.model}/{self.target}"
