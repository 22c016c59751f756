"""Plain int8, then the one command that prunes as well, of one float model; then both timed beside the float one."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import edgeai
from edgeai_converters.workfolder import WorkFolder, digest_of, digest_of_path
from slimming.cases import SlimCase
from slimming.data import CaseData
from slimming.float_model import prepare_data, small_model, tuned_model
from slimming.race import race_in_child
from slimming.rows import MAX_DROP, WANTED, Goal, Slimmed, Variant
from slimming.steps import Steps, tell

_RACE_SECONDS = 3.0
_INT8 = ("int8", "dynamic_int8")

Document = dict[str, Any]


def run_slimming(name: str, case: SlimCase, assets: Path, work: WorkFolder, *, code: str) -> Slimmed:
    """Compress the model of a case both ways and return what pruning was worth on top of int8."""
    steps = Steps(work=work)
    data = prepare_data(case, assets, steps)
    if case.published is not None:
        model, made = tuned_model(case.published, assets, data, steps, graphs=work)
    else:
        model, made = small_model(case, data, steps, graphs=work)
    base: dict[str, Any] = {
        "model": digest_of_path(model),
        "data": data.folder.name,
        "precisions": list(case.precisions),
    }
    folder, plain = _compress("plain int8", base, model, data, case, steps, {}, code=code)
    chosen = choose_plain(plain["candidates"], case.goal)
    original = next(one for one in plain["candidates"] if one["id"] == f"{chosen['format']}-float32")
    limits = limits_for(chosen, case.goal)
    asked = {
        "train_data": data.file("training"),
        "formats": (chosen["format"],),
        "prune": "auto",
        "training": case.training,
        **limits,
    }
    key = {**base, **limits, "training": asdict(case.training)}
    slim_folder, slim = _compress("pruned int8", key, model, data, case, steps, asked, code=code)
    best = slim.get("best")
    files = [folder / original["file"], folder / chosen["file"]]
    if best is not None:
        files.append(slim_folder / best["file"])
    _, race = steps.step(
        "timing",
        {"files": [digest_of_path(file) for file in files], "code": code},
        lambda place: race_in_child(files, duration_s=_RACE_SECONDS, out=place / "race.json"),
    )
    return Slimmed(
        case=name,
        title=case.title,
        goal=case.goal,
        trained_on=data.count("training"),
        published_score=made.get("before"),
        float_score=made["after"],
        float_size_bytes=original["size_bytes"],
        float_ms=race["median_ms"][0],
        evaluated=data.count("evaluation"),
        plain=variant_of(chosen, race["median_ms"][1]),
        slim=None if best is None else variant_of(best, race["median_ms"][2]),
        latency_ratio=None if best is None else race["ratio"],
        latency_ci95=None if best is None else tuple(race["ratio_ci95"]),
        why_not=slim.get("why_not", ""),
        seconds=steps.seconds,
        code=slim.get("code", code),
    )


def choose_plain(candidates: Sequence[Mapping[str, Any]], goal: Goal) -> Mapping[str, Any]:
    """Return the int8 artifact to begin with: the fastest (or smallest) that was accepted, else of all.

    >>> some = [{"id": "a", "precision": "int8", "status": "accepted", "size_bytes": 5, "latency_ms": {"median": 2}},
    ...         {"id": "b", "precision": "int8", "status": "rejected", "size_bytes": 4, "latency_ms": {"median": 1}},
    ...         {"id": "c", "precision": "float32", "status": "accepted", "size_bytes": 9, "latency_ms": {"median": 1}}]
    >>> choose_plain(some, "latency")["id"]
    'a'
    """
    made = [one for one in candidates if one["precision"] in _INT8 and one["latency_ms"]["median"]]
    if not made:
        raise LookupError("no int8 artifact could be made")
    accepted = [one for one in made if one["status"] == "accepted"] or made
    if goal == "size":
        return min(accepted, key=lambda one: float(one["size_bytes"]))
    return min(accepted, key=lambda one: float(one["latency_ms"]["median"]))


def limits_for(plain: Mapping[str, Any], goal: Goal) -> dict[str, Any]:
    """Return what the one command is asked for: half of plain int8's size, or of its latency as a share of float's.

    >>> limits_for({"size_bytes": 1001, "speedup_vs_float": 4.0}, "size")
    {'max_size': 500}
    >>> limits_for({"size_bytes": 1001, "speedup_vs_float": 4.0}, "latency")
    {'max_latency_ratio': 0.125}
    """
    if goal == "size":
        return {"max_size": int(plain["size_bytes"] / WANTED)}
    return {"max_latency_ratio": 1 / plain["speedup_vs_float"] / WANTED}


def variant_of(candidate: Mapping[str, Any], median_ms: float) -> Variant:
    """Return the row of a candidate, with its latency from the common run."""
    return Variant(
        id=candidate["id"],
        format=candidate["format"],
        precision=candidate["precision"],
        size_bytes=candidate["size_bytes"],
        median_ms=median_ms,
        score=candidate["score"],
        drop=candidate["drop"],
        drop_ci95=tuple(candidate["drop_ci95"]),
        n=candidate["n"],
        verdict=candidate["verdict"],
        accepted=candidate["status"] == "accepted",
        reason=candidate["reason"],
    )


def _compress(
    name: str,
    key: Mapping[str, Any],
    model: Path,
    data: CaseData,
    case: SlimCase,
    steps: Steps,
    asked: Mapping[str, Any],
    *,
    code: str,
) -> tuple[Path, Document]:
    """Run `edgeai.compress` as a step; kept are its document, the bundle, and the files of every candidate.

    What is kept is not run again when the code changes (`--fresh` does that): its row tells the code it ran with.
    """
    missing = sorted(set(asked) - set(inspect.signature(edgeai.compress).parameters))
    if missing:
        why = f"edgeai.compress has no {', '.join(missing)}"
        return steps.work.root, {"best": None, "candidates": [], "why_not": why}

    def make(folder: Path) -> Document:
        result = edgeai.compress(
            str(model),
            data.file("evaluation"),
            calibration_data=data.file("calibration"),
            preprocess=data.preprocess or None,
            precisions=case.precisions,
            max_drop=MAX_DROP,
            name=name.replace(" ", "-"),
            work=steps.work.root / f"compress-{digest_of([name, case.data, digest_of_path(model)])[:16]}",
            on_step=tell(name),
            **asked,
        )
        result.save(folder / "model.edge")
        document = {**result.to_json(), "code": code}
        for candidate, row in zip(result.candidates, document["candidates"], strict=True):
            if candidate.artifact is not None:
                place = folder / candidate.id
                place.mkdir()
                for file in candidate.artifact.files:
                    shutil.copyfile(file, place / file.name)
                row["file"] = f"{candidate.id}/{candidate.artifact.path.name}"
        best = result.best
        document["best"] = next((row for row in document["candidates"] if best and row["id"] == best.id), None)
        return document

    return steps.step(name, key, make)
