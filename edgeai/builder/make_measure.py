"""Times and memory for the gates: those that were measured when the artifacts were made, or, elsewhere, measured anew.

A cache of CI is restored on whatever machine runs the job. Bytes are the same there, times are not: what was measured
on another machine is measured again by a replay of the recipes, whose artifacts are found finished.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeai.builder.gate_result import Gates
from edgeai.builder.make_compress import REPORT, compress, read_found_recipes
from edgeai.builder.steps import NOTES, Making

_MEASURED = (
    *("latency_ms", "relative_latency", "speedup_vs_float", "speedup_ci95", "peak_memory_mib"),
    *("engine", "engine_version", "delegate", "threads"),
)


def asks_for_figures(gates: Gates) -> bool:
    """Whether a gate goes by what was measured when artifacts were made."""
    return any(limit is not None for limit in (gates.latency_ms, gates.latency_ratio, gates.memory_mib))


def asks_this_machine(gates: Gates) -> bool:
    """Whether a verdict holds for the machine that builds alone."""
    return asks_for_figures(gates) or gates.not_slower_than is not None or gates.coverage is not None


def make(making: Making) -> None:
    """Write the compress document with figures of this machine.

    Raises:
        ModelError: a recipe cannot be replayed.
    """
    from edgeai.cli.output import json_text
    from edgeai_runtime.bench.machine import describe_machine

    made, here = making.made["compress"], describe_machine()
    document = json.loads((made / REPORT).read_text(encoding="utf-8"))
    notes: list[str] = []
    if document["machine"] != here:
        document, notes = _merged(document, _measured_here(making, made), here)
    (making.folder / REPORT).write_text(json_text(document), encoding="utf-8")
    (making.folder / NOTES).write_text(json.dumps(notes), encoding="utf-8")


def _measured_here(making: Making, made: Path) -> dict[str, Any]:
    """Replay the recipes of the bundle on this machine and return the document; its artifacts are not kept."""
    with tempfile.TemporaryDirectory(prefix="edgeai-measure-") as folder:
        compress(replace(making, folder=Path(folder), recipes=read_found_recipes(made), found=None))
        found: dict[str, Any] = json.loads((Path(folder) / REPORT).read_text(encoding="utf-8"))
        return found


def _merged(
    before: Mapping[str, Any], now: Mapping[str, Any], here: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the document of the artifacts with the figures measured now, and what to tell of it.

    Sizes, accuracy and verdicts are of the bytes and stay. What was not measured here has no figures of this machine
    and is left out.
    """
    figures = {one["id"]: {name: one[name] for name in _MEASURED} for one in now["candidates"]}
    candidates = [one | figures[one["id"]] for one in before["candidates"] if one["id"] in figures]
    best = before["best"]
    other = _other(before, here)
    note = f"Times and memory were measured again on this machine; the artifacts were made on another ({other})."
    document = {
        **before,
        "candidates": candidates,
        "best": best | figures[best["id"]] if best and best["id"] in figures else best,
        "pareto": [name for name in before["pareto"] if name in figures],
        "notes": [*before["notes"], note],
        "machine": dict(here),
    }
    return document, [note]


def _other(before: Mapping[str, Any], here: Mapping[str, str]) -> str:
    """Say what the other machine was, where it differs."""
    there: Mapping[str, str] = before["machine"]
    return (
        ", ".join(
            f"{name}: {there.get(name, 'unknown')}, here {here.get(name, 'unknown')}"
            for name in sorted({*there, *here})
            if name != "isa" and there.get(name) != here.get(name)
        )
        or "another instruction set"
    )
