"""What the rows of one case say when they are held against each other: drops, ratios and the two verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_converters.evaluate.certificate import certify
from edgeai_converters.evaluate.metrics import get_metric
from edgeai_runtime.bench.loop import Samples
from edgeai_runtime.bench.statistics import compare
from quantization.job import Job

Row = dict[str, Any]
NAIVE = "ort-minmax"
REFERENCE = "float-onnx"


def judge(job: Job, rows: Sequence[Row], race: Mapping[str, Any]) -> dict[str, Any]:
    """Add score, drop, flips and latency to the rows (in place), and return the verdicts of the case.

    The reference of every drop is the float ONNX model in ONNX Runtime. The verdicts hold our best artifact against
    the most accurate and against the fastest artifact of the peers; one that loses more than the budget is no rival in
    speed. `None` where one of the two is missing.
    """
    metric = get_metric(job.metric, has_labels=True)
    _, labels = job.samples("certification")
    outputs = {row["name"]: _outputs(row) for row in rows if "outputs" in row}
    source = outputs[REFERENCE]
    for row in rows:
        if row["name"] not in outputs:
            continue
        found = outputs[row["name"]] = _named(outputs[row["name"]], source)
        try:
            row |= _against(metric, source, found, labels, job.max_drop)
        except Exception as error:  # outputs of another shape, or NaN: the row says so, the others go on
            row["error"] = f"scoring: {type(error).__name__}: {error}"
            outputs.pop(row["name"])
    timed = _timed(rows, race)
    floats = {row["format"]: row["name"] for row in rows if row["method"] == "float" and row["name"] in timed}
    fastest_float = min(floats.values(), key=lambda name: timed[name][1], default=None)
    for row in rows:
        if row["name"] in timed:
            row["median_ms"] = timed[row["name"]][1]
            row["x_own"] = _ratio(timed, row["name"], floats.get(row["format"]))
            row["x_best"] = _ratio(timed, row["name"], fastest_float)
    return _verdicts(metric, outputs, labels, rows, timed, job.max_drop)


def _verdicts(
    metric: Any, outputs: Mapping[str, Any], labels: Any, rows: Sequence[Row], timed: Mapping[str, Any], budget: float
) -> dict[str, Any]:
    made = [row for row in rows if "score" in row]
    ours = next((row for row in made if row["method"] == "ours" and row.get("best")), None)
    peers = [row for row in made if row["method"] not in ("ours", "float")]
    found: dict[str, Any] = {
        "ours": ours["name"] if ours else None,
        "naive_drop": next((row["drop"] for row in peers if row["name"] == NAIVE), None),
        "ours_drop": ours["drop"] if ours else None,
        "accuracy": None,
        "speed": None,
        "formats": {},
    }
    if ours is None or not peers:
        return found
    found["accuracy"] = _accuracy(metric, outputs, labels, ours, min(peers, key=lambda row: float(row["drop"])))
    rivals = [row for row in peers if row["drop"] <= budget and row["name"] in timed]
    if rivals and ours["name"] in timed:
        found["speed"] = _speed(timed, ours, min(rivals, key=lambda row: float(row["median_ms"])))
    for mine in (row for row in made if row["method"] == "ours"):
        same = [row for row in peers if row["format"] == mine["format"]]
        quick = [row for row in same if row in rivals]
        found["formats"][mine["format"]] = {
            "ours": mine["name"],
            "accuracy": _accuracy(metric, outputs, labels, mine, min(same, key=lambda row: float(row["drop"])))
            if same
            else None,
            "speed": _speed(timed, mine, min(quick, key=lambda row: float(row["median_ms"])))
            if quick and mine["name"] in timed
            else None,
        }
    return found


def _accuracy(metric: Any, outputs: Mapping[str, Any], labels: Any, ours: Row, peer: Row) -> dict[str, Any]:
    """Say whether ours is at least as accurate, by the paired interval of what ours loses against the peer."""
    against = _against(metric, outputs[peer["name"]], outputs[ours["name"]], labels, None)
    low, high = against["drop_ci95"]
    verdict = "yes" if against["drop"] <= 0 else "no" if low > 0 else "not told apart"
    return {"peer": peer["name"], "loss": against["drop"], "ci95": [low, high], "verdict": verdict}


def _speed(timed: Mapping[str, Any], ours: Row, peer: Row) -> dict[str, Any]:
    """Say whether ours is at least as fast: no, only when the interval of the ratio lies above what files differ by."""
    ratio = compare(timed[ours["name"]][0], timed[peer["name"]][0])
    verdict = {"faster": "yes, faster", "no_difference": "yes, no difference", "slower": "no"}[ratio.verdict]
    return {"peer": peer["name"], "ratio": ratio.ratio, "ci95": list(ratio.ci95), "verdict": verdict}


def _against(metric: Any, source: Any, found: Any, labels: Any, budget: float | None) -> dict[str, Any]:
    claim = certify(metric, source_outputs=source, outputs=found, labels=labels, max_drop=budget, split="certification")
    return {
        "score": claim.score,
        "drop": claim.drop,
        "drop_ci95": list(claim.drop_ci95),
        "flips": _flips(source, found) if claim.flip_rate is None else claim.flip_rate,
        "n": claim.n,
    }


def _flips(source: Any, found: Any) -> float | None:
    """Return the share of images whose best-scored class changed, for networks whose metric tells no predictions."""
    if "scores" not in source:
        return None
    classes = [
        each["scores"].reshape(len(each["scores"]), -1).argmax(axis=1) % each["scores"].shape[-1]
        for each in (source, found)
    ]
    return float((classes[0] != classes[1]).mean())


def _timed(rows: Sequence[Row], race: Mapping[str, Any]) -> dict[str, tuple[Samples, float]]:
    if "file" not in race:
        return {}
    with np.load(Path(race["file"])) as arrays:
        return {
            row["name"]: (
                Samples(call_ms=arrays[f"round_ms_{row['place']}"], round_ms=arrays[f"round_ms_{row['place']}"]),
                float(arrays["median_ms"][row["place"]]),
            )
            for row in rows
            if "place" in row
        }


def _ratio(timed: Mapping[str, Any], name: str, other: str | None) -> dict[str, Any] | None:
    if other is None or name == other:
        return None
    found = compare(timed[name][0], timed[other][0])
    return {"ratio": found.ratio, "ci95": list(found.ci95), "verdict": found.verdict}


def _outputs(row: Row) -> dict[str, Any]:
    with np.load(row["outputs"]) as arrays:
        return {str(name): arrays[f"out_{place}"] for place, name in enumerate(arrays["names"])}


def _named(found: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Return outputs under the source's names: by name where the names are the source's, else by their order."""
    if set(found) == set(source):
        return {name: found[name] for name in source}
    return dict(zip(source, found.values(), strict=False))
