"""Judge the gates of a target and keep the verdicts; what an engine must tell is measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeai.builder.gate_result import GateResult, TargetResult
from edgeai.builder.gates import judge
from edgeai.builder.steps import Making

VERDICTS = "gates.json"


def make(making: Making) -> None:
    """Write the verdicts of `judge`, and of the budget of the search."""
    from edgeai.builder.make_bundle import bundle_name
    from edgeai.builder.make_compress import REPORT, read_found_recipes

    compressed, bundle = making.made["compress"], making.made["bundle"] / bundle_name(making.model.name)
    document = json.loads((compressed / REPORT).read_text(encoding="utf-8"))
    by_id = {one["id"]: one for one in document["candidates"]}
    made = TargetResult(
        model=making.model.name,
        target=making.target.name,
        device=making.target.device,
        artifacts=(bundle,),
        bundle=bundle,
        candidates=tuple(by_id[recipe.id] for recipe in read_found_recipes(compressed)),
        report=compressed / REPORT,
        document=document,
    )
    verdicts = [_budget(made), *judge(made, making.target.gates)]
    text = json.dumps([asdict(verdict) for verdict in verdicts], indent=1) + "\n"
    (making.folder / VERDICTS).write_text(text, encoding="utf-8")


def read_verdicts(folder: Path) -> tuple[GateResult, ...]:
    """Return the verdicts of a result."""
    found: list[dict[str, Any]] = json.loads((folder / VERDICTS).read_text(encoding="utf-8"))
    return tuple(GateResult(**one) for one in found)


def _budget(made: TargetResult) -> GateResult:
    """Say whether what is in the bundle was accepted; a budget that could not be met is a gate that broke."""
    rejected = [one for one in made.candidates if one["status"] != "accepted"]
    reason = "; ".join(f"{one['id']}: {one['reason']}" for one in rejected) or _accepted(made.candidates)
    limit = str(made.document.get("binding_limit") or "budget") if rejected else "budget"
    value = "rejected" if rejected else "accepted"
    return GateResult(name="budget", ok=not rejected, limit=limit, value=value, reason=reason, where=made.where)


def _accepted(candidates: tuple[Mapping[str, Any], ...]) -> str:
    return ", ".join(str(one["id"]) for one in candidates) + ": within the budget of the search"
