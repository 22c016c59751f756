"""Judge the gates of a target and keep the verdicts; what an engine must tell is measured here."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgeai.builder.config import ModelConfig, TargetConfig
from edgeai.builder.gate_result import GateResult, TargetResult
from edgeai.builder.gates import judge
from edgeai.builder.make_bundle import bundle_name
from edgeai.builder.make_check import CHECK
from edgeai.builder.make_compress import REPORT, read_found_recipes
from edgeai.builder.make_export import FACTS
from edgeai.builder.steps import Making

_LOG = logging.getLogger(__name__)
VERDICTS = "gates.json"


def make(making: Making) -> None:
    """Write the verdicts of `judge`, of the budget of the search, and of the device."""
    made = read_target_result(making.model, making.target, making.made)
    if making.target.gates.coverage is not None:
        made = replace(made, placements=_placements(made.bundle))
    verdicts = [_budget(made), *_fits(made), *judge(made, making.target.gates)]
    text = json.dumps([asdict(verdict) for verdict in verdicts], indent=1) + "\n"
    (making.folder / VERDICTS).write_text(text, encoding="utf-8")


def read_target_result(model: ModelConfig, target: TargetConfig, made: Mapping[str, Path]) -> TargetResult:
    """Return what the steps of a target made, from the folders of their results by name of the step."""
    compressed, bundle = made["compress"], made["bundle"] / bundle_name(model.name)
    report = made.get("measure", compressed) / REPORT  # with the figures of this machine, where gates go by them
    document = _read_json(report)
    by_id = {one["id"]: one for one in document["candidates"]}
    return TargetResult(
        model=model.name,
        target=target.name,
        device=target.device.id if target.device else None,
        artifacts=(bundle,),
        bundle=bundle,
        candidates=tuple(by_id[recipe.id] for recipe in read_found_recipes(compressed)),
        report=report,
        document=document,
        fit=_read_json(made["check"] / CHECK) if "check" in made else None,
        compiled={
            name.partition(":")[2]: _read_json(folder / FACTS)
            for name, folder in made.items()
            if name.startswith("compile:")
        },
    )


def _read_json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


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


def _fits(made: TargetResult) -> tuple[GateResult, ...]:
    """Say whether every variant fits the device, with what would mend it where one does not."""
    if made.fit is None:
        return ()
    variants = made.fit.get("variants") or [made.fit]
    broken = [
        f"{variant.get('id', made.model)}: {check['name']}: {check['detail']}{_mend(check)}"
        for variant in variants
        for check in variant["checks"]
        if not check["ok"]
    ]
    device = str(made.device)
    reason = "; ".join(broken) or f"every variant fits {device}, as far as its profile tells"
    value = "does not fit" if broken else "fits"
    return (GateResult(name="fits", ok=not broken, limit=device, value=value, reason=reason, where=made.where),)


def _mend(check: Mapping[str, Any]) -> str:
    return f" ({check['mend']})" if check.get("mend") else ""


def _placements(bundle: Path) -> dict[str, dict[str, float]]:
    """Return where the operations of each variant run on this machine; variants that do not load are left out."""
    from edgeai_runtime import load, open_bundle
    from edgeai_runtime.errors import EdgeAIError

    found: dict[str, dict[str, float]] = {}
    for variant in open_bundle(bundle).manifest.variants:
        try:
            with load(bundle, variant=variant.id) as model:
                found[variant.id] = {str(device): share for device, share in model.placement.shares().items()}
        except EdgeAIError as error:
            _LOG.info("%s: no placement of %s: %s", bundle, variant.id, error.message)
    return found


def _accepted(candidates: tuple[Mapping[str, Any], ...]) -> str:
    return ", ".join(str(one["id"]) for one in candidates) + ": within the budget of the search"
