"""Make the artifact of a recipe and read it back: its steps, run on the float graph, then emitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.steps import run_steps
from edgeai_runtime.manifest import Quantization, TensorSpec

_ARTIFACT_FILE = "artifact.json"


def make_artifact(
    recipe: Recipe,
    graph: FloatGraph,
    calibration: Calibration | None,
    folder: Path,
    *,
    notes: tuple[str, ...] = (),
) -> None:
    """Write the recipe's artifact and a note of it into `folder`; `read_artifact` reads it back.

    Args:
        recipe: the recipe.
        graph: the float graph that its reshaping steps made.
        calibration: what samples tell of that graph.
        folder: an empty folder.
        notes: what to tell of the graph, behind what is told of the steps.
    """
    model, told = run_steps(recipe, graph, calibration)
    artifact = emit(model, recipe.format, folder)
    artifact = replace(artifact, notes=(*told, *artifact.notes, *notes))
    note = asdict(artifact) | {"files": [file.name for file in artifact.files]}
    (folder / _ARTIFACT_FILE).write_text(json.dumps(note, indent=1))


def read_artifact(folder: Path) -> Artifact:
    """Return the artifact that `make_artifact` wrote into `folder`."""
    note = json.loads((folder / _ARTIFACT_FILE).read_text())
    return Artifact(
        format=note["format"],
        files=tuple(folder / name for name in note["files"]),
        inputs=tuple(_spec(spec) for spec in note["inputs"]),
        outputs=tuple(_spec(spec) for spec in note["outputs"]),
        operators=note["operators"],
        notes=tuple(note["notes"]),
    )


def _spec(note: Mapping[str, Any]) -> TensorSpec:
    quantization = note["quantization"]
    return TensorSpec(
        **{
            **note,
            "shape": tuple(note["shape"]),
            "quantization": Quantization(**quantization) if quantization else None,
        }
    )
