"""What the exports to Android and iOS have in common besides the wrapper: files of the app, and figures."""

from __future__ import annotations

from typing import Any

from edgeai.exporting.app_model import AppModel
from edgeai.exporting.subject import Subject


def asset_files(subject: Subject, model: AppModel, *, folder: str) -> dict[str, str | bytes]:
    """Return the model, the class names and the recorded samples."""
    stem = f"{folder}/{'_'.join(subject.words)}"
    files: dict[str, str | bytes] = {f"{stem}.tflite": subject.content}
    if subject.labels:
        files[f"{stem}_labels.txt"] = "".join(f"{label}\n" for label in subject.labels)
    if model.golden:
        files[f"{stem}_golden.bin"] = model.golden
    return files


def app_facts(subject: Subject, model: AppModel) -> dict[str, Any]:
    """Return the figures of an export to an app."""
    return {
        "variant": subject.variant.id if subject.variant is not None else None,
        "precision": subject.precision,
        "model_bytes": len(subject.content),
        "model_sha256": subject.sha256,
        "golden_samples": model.samples,
        "not_written": sorted({each.calls.missing for each in (*model.inputs, *model.outputs)} - {""}),
    }
