"""What a build did, as data, and the document of `edgeai build --json`.

    {"schema": "edgeai.build/1", "ok": true, "file": "edgeai.toml", "name": "digits-app", "version": "1.0.0",
     "lock_written": false, "duration_s": 0.2,
     "targets": [{"model", "target", "device", "ok", "folder", "artifacts": [path], "report": path | null,
                  "error": null | {type, message, hint},
                  "gates": [{"name", "ok", "limit", "value", "reason", "where"}],
                  "steps": [{"name", "kind", "status": "up to date" | "made" | "failed" | "skipped" | "would run",
                             "why": [phrase], "notes": [line], "duration_s"}]}]}

Paths are relative to the folder of the file, where they lie below it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgeai.builder.gate_result import GateResult, TargetResult
from edgeai_runtime.errors import EdgeAIError

SCHEMA = "edgeai.build/1"

Status = Literal["up to date", "made", "failed", "skipped", "would run"]
"""`skipped`: a step before it failed, or a gate broke."""


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What became of a step, why it was (or would be) run: what changed since it was last up to date; and its notes."""

    name: str
    kind: str
    status: Status
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    duration_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TargetOutcome:
    """What became of one target.

    Attributes:
        made: what was made; `None` when a step failed, and in a dry run.
        gates: the verdicts.
        error: why a step failed.
        folder: the target's output folder.
        report: the file with the compress document in it; `None` when it was not written.
    """

    model: str
    target: str
    device: str | None
    folder: Path
    steps: tuple[StepOutcome, ...]
    made: TargetResult | None = None
    gates: tuple[GateResult, ...] = ()
    error: EdgeAIError | None = None

    @property
    def ok(self) -> bool:
        """Whether no step failed and no gate broke."""
        return self.error is None and all(gate.ok for gate in self.gates)

    @property
    def where(self) -> str:
        """`model/target`."""
        return f"{self.model}/{self.target}"


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What became of a build."""

    file: Path
    name: str
    version: str
    targets: tuple[TargetOutcome, ...]
    lock_written: bool
    duration_s: float

    @property
    def ok(self) -> bool:
        """Whether every target is."""
        return all(target.ok for target in self.targets)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeai build --json`."""
        root = self.file.parent
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "file": self.file.name,
            "name": self.name,
            "version": self.version,
            "lock_written": self.lock_written,
            "duration_s": self.duration_s,
            "targets": [_target_to_json(target, root) for target in self.targets],
        }


def _target_to_json(target: TargetOutcome, root: Path) -> dict[str, Any]:
    return {
        "model": target.model,
        "target": target.target,
        "device": target.device,
        "ok": target.ok,
        "folder": _shown(target.folder, root),
        "artifacts": [_shown(path, root) for path in target.made.artifacts] if target.made else [],
        "report": _shown(target.made.report, root) if target.made else None,
        "error": target.error.to_json() if target.error else None,
        "gates": [asdict(gate) for gate in target.gates],
        "steps": [{**asdict(step), "why": list(step.why), "notes": list(step.notes)} for step in target.steps],
    }


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
