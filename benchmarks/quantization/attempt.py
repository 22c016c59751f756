"""One case: make every artifact in a process of its own, score each in its engine, then time all of them together.

What is made is kept below the work folder, one folder per artifact with `row.json`, so that a stopped run goes on.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conversion.attempt import Ended, run
from conversion.page import one_line

from quantization.job import Job
from quantization.methods import METHODS, why_not

Row = dict[str, Any]


def make_all(
    job: Job,
    folder: Path,
    names: Sequence[str],
    *,
    limit_s: float,
    interpreters: Mapping[str, str],
    resume: bool,
    code: Mapping[str, str],
    options: Sequence[str],
) -> list[Row]:
    """Make and score the float artifacts, ours, and those of the methods named; the float ones come first.

    Args:
        job: the model.
        folder: where things are kept.
        names: methods to try; `ours` for ours.
        limit_s: longest time for making one artifact, and for scoring one.
        interpreters: Python of tools that have an environment of their own.
        resume: keep rows that this same code made before.
        code: keys of the code that makes `ours` and `peers`; rows of another key are made anew.
        options: more words for `edgeai compress`.
    """
    rows = []
    files = {"onnx": job.onnx, "tflite": job.tflite, "openvino": str(Path(job.tflite).with_suffix(".xml"))}
    for format, file in files.items():
        rows.append({"name": f"float-{format}", "method": "float", "format": format, "artifact": file})
    for name in names:
        place, key = folder / name, code["ours" if name == "ours" else "peers"]
        kept = _kept(place, key) if resume else None
        if kept is None:
            print(f"   {name}", file=sys.stderr, flush=True)
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            if name == "ours":
                kept = _ours(job, place, limit_s=limit_s, options=options)
            else:
                kept = [
                    _peer(name, job, folder, limit_s=limit_s, interpreter=interpreters.get(METHODS[name].apart, ""))
                ]
            (place / "row.json").write_text(json.dumps({"code": key, "rows": kept}, indent=1), encoding="utf-8")
        rows += kept
    for row in rows:
        if "artifact" in row:
            mine = row["method"] in ("ours", "float")
            _score(row, folder, limit_s=limit_s, code=code["ours" if mine else "peers"], resume=resume)
    return rows


def time_together(rows: Sequence[Row], folder: Path, *, duration_s: float, limit_s: float) -> Row:
    """Time all artifacts that were scored in one process; add `median_ms` to their rows and return what failed."""
    runners = [row for row in rows if "outputs" in row]
    out = folder / "race.npz"
    out.unlink(missing_ok=True)
    artifacts = [row["artifact"] for row in runners]
    command = [sys.executable, "-m", "quantization.race", str(folder / "job.json"), str(duration_s), str(out)]
    ended = run([*command, *artifacts], limit_s=limit_s + 3 * duration_s * len(runners), cache=folder / "cache")
    if ended.code != 0:
        return {"error": _words(ended, limit_s)}
    for place, row in enumerate(runners):
        row["place"] = place
    return {"file": str(out)}


def _kept(place: Path, code: str) -> list[Row] | None:
    file = place / "row.json"
    if not file.is_file():
        return None
    document = json.loads(file.read_text(encoding="utf-8"))
    rows: list[Row] = document["rows"]
    return rows if document["code"] == code and not any("limit" in row for row in rows) else None


def _peer(name: str, job: Job, folder: Path, *, limit_s: float, interpreter: str) -> Row:
    method = METHODS[name]
    row: Row = {"name": name, "method": name, "format": method.format}
    reason = why_not(method, job, interpreter=interpreter)
    if reason:
        return {**row, "left_out": reason, **({"limit": "interpreter"} if method.apart else {})}
    python = interpreter or sys.executable
    command = [python, "-m", "quantization.make", method.function, str(folder / "job.json"), str(folder / name)]
    ended = run(command, limit_s=limit_s, cache=folder / "cache")
    row |= {"seconds": ended.seconds, "peak_mib": ended.peak_mib}
    last = (ended.stdout.strip().splitlines() or [""])[-1]
    if ended.code != 0 or not last.startswith("ARTIFACT "):
        return {**row, "error": _words(ended, limit_s)}
    return {**row, "artifact": last.removeprefix("ARTIFACT ")}


def _ours(job: Job, place: Path, *, limit_s: float, options: Sequence[str]) -> list[Row]:
    """Run `edgeai compress` and return one row per variant of the bundle; search and certificates are in its time."""
    words = {
        "--data": job.search,
        "--calibration-data": job.calibration,
        "--certification-data": job.certification,
        "--metric": job.metric,
        "--max-drop": str(job.max_drop),
        "--work": str(place / "work"),
        "-o": str(place / "model.edge"),
    }
    flat = [word for pair in words.items() for word in pair]
    command = [sys.executable, "-m", "edgeai", "compress", job.source, *flat, *options, "--json"]
    ended = run(command, limit_s=limit_s, cache=place / "cache")
    for folder in ("work", "cache"):
        shutil.rmtree(place / folder, ignore_errors=True)
    start = ended.stdout.find("{")
    document = json.loads(ended.stdout[start:]) if start >= 0 else {}
    base: Row = {"method": "ours", "seconds": ended.seconds, "peak_mib": ended.peak_mib}
    if "error" in document or not document:
        said = document["error"]["message"] if document else _words(ended, limit_s)
        return [{**base, "name": "ours", "format": "", "error": one_line(said)}]
    (place / "compress.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    from edgeai_runtime.bundle import open_bundle

    bundle = open_bundle(place / "model.edge")
    return [
        {
            **base,
            "name": f"ours-{variant.format}",
            "format": variant.format,
            "recipe": variant.id,
            "best": document["best"] is not None and variant.id == document["best"]["id"],
            "artifact": f"{place / 'model.edge'}#{variant.id}",
            "size_bytes": sum(bundle.file(file).stat().st_size for file in variant.files),
        }
        for variant in bundle.manifest.variants
    ]


def _score(row: Row, folder: Path, *, limit_s: float, code: str, resume: bool) -> None:
    """Add `outputs`, the file of the artifact's outputs on the certification split, and its size; or `error`."""
    out = folder / "outputs" / f"{row['name']}-{code}.npz"
    out.parent.mkdir(exist_ok=True)
    if "size_bytes" not in row:
        path = Path(row["artifact"])
        row["size_bytes"] = sum(file.stat().st_size for file in {path, path.with_suffix(".bin")} if file.is_file())
    if not (resume and out.is_file()):
        command = [sys.executable, "-m", "quantization.score", str(folder / "job.json"), "certification", str(out)]
        ended = run([*command, row["artifact"]], limit_s=limit_s, cache=folder / "cache")
        if ended.code != 0:
            out.unlink(missing_ok=True)
            row["error"] = "scoring: " + _words(ended, limit_s)
            return
    row["outputs"] = str(out)


def _words(ended: Ended, limit_s: float) -> str:
    if ended.code is None:
        return f"no end within {limit_s:.0f} s"
    last = (ended.stderr.strip().splitlines() or ["no words"])[-1]
    return str(one_line(f"the process died of signal {-ended.code}: {last}" if ended.code < 0 else last))
