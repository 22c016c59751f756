"""Put the chosen candidates of a search into one bundle: variants, golden vectors, tolerances, certificates."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import read_outputs, run_job
from edgeai_converters.inspection.table import inspect_artifact
from edgeai_converters.pipeline import Compression
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.step_assets import pack_assets
from edgeai_converters.versions import tool_versions
from edgeai_runtime.bundle_arrays import npz_bytes
from edgeai_runtime.bundle_writer import file_entry, write_bundle
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import FileEntry, Format, Manifest, Precision, Provenance, Tolerance, Variant

GOLDEN_SAMPLES = 16

_FLOOR: dict[Precision, float] = {
    "float32": 1e-4,
    "float16": 2e-3,
    "dynamic_int8": 2e-2,
    "int8": 2e-2,
    "int4": 2e-2,
    "int16x8": 2e-3,
}
"""Least tolerance as a share of the output's largest value: what other correct kernels may differ by.

Float kernels differ by rounding. Integer kernels of two instruction sets were seen up to 6 steps of 1/255 apart on the
same file, which is 2 %.
"""

_SPREAD = 2.0
"""Times the variant's own error on the golden samples that is allowed on top: another device's rounding is not larger
than the rounding that quantization brought in."""

_NEEDS: dict[Format, dict[str, str]] = {
    "tflite": {"ai-edge-litert": ">=2.1"},
    "onnx": {"onnxruntime": ">=1.20"},
    "openvino": {"openvino": ">=2025.3"},
}


_MOST_OPERATIONS = 2000
"""MACs by operation are left out of larger models, so that manifests stay small."""


def write_compression(
    result: Compression,
    path: Path,
    *,
    recipes: Sequence[Recipe] | None = None,
    with_measurements: bool = True,
    as_folder: bool = False,
    force: bool = False,
) -> None:
    """Write the bundle of a search's packed candidates to `path`.

    Args:
        result: the search.
        path: the bundle.
        recipes: of the candidates to pack, best first, in place of those that the search chose.
        with_measurements: whether variants say what was timed on this machine; without, the same inputs and versions
            give the same bytes.
        as_folder: write a folder in place of a file.
        force: overwrite.

    Raises:
        ModelError: there is nothing to pack.
        OutputError: `path` exists and `force` is not set, or cannot be written.
    """
    packed = result.packed if recipes is None else _of_recipes(result, recipes)
    if not packed:
        reasons = "".join(f"\n  {candidate.id}: {candidate.reason}" for candidate in result.candidates)
        raise ModelError(f"No candidate could be made, so there is no bundle to write:{reasons}")
    raw, source_outputs = _golden(result)
    golden = {f"source/{name}": array for name, array in source_outputs.items()}
    members: dict[str, Path | bytes] = {}
    variants = []
    for candidate in packed:
        outputs = _own_outputs(result, candidate)
        golden |= {f"{candidate.id}/{name}": array for name, array in outputs.items()}
        variant, files = _variant(result, candidate, source_outputs, outputs)
        variants.append(variant if with_measurements else replace(variant, measurements=()))
        members |= files
    members["golden/inputs.npz"] = npz_bytes(raw)
    members["golden/outputs.npz"] = npz_bytes(golden)
    labels: FileEntry | None = None
    if result.spec.labels:
        members["labels.txt"] = ("\n".join(result.spec.labels) + "\n").encode()
        labels = file_entry("labels.txt", members["labels.txt"])
    before, after, assets = pack_assets(result.spec.preprocessing, result.spec.postprocessing)
    members |= {f"assets/{name}": file for name, file in assets.items()}
    manifest = Manifest(
        name=result.spec.name or result.spec.source.stem,
        version="1",
        inputs=result.graph.inputs,
        outputs=result.graph.outputs,
        variants=tuple(variants),
        golden=tuple(file_entry(name, members[name]) for name in ("golden/inputs.npz", "golden/outputs.npz")),
        preprocessing=before,
        postprocessing=after,
        labels=labels,
        assets={name: file_entry(f"assets/{name}", file) for name, file in assets.items()},
    )
    write_bundle(path, manifest, members, force=force, as_folder=as_folder)


def _of_recipes(result: Compression, recipes: Sequence[Recipe]) -> tuple[Candidate, ...]:
    """Return the candidates of recipes, in their order.

    Raises:
        ModelError: one could not be made.
    """
    made = {one.id: one for one in result.candidates if one.artifact and one.measurement}
    for recipe in recipes:
        if recipe.id not in made:
            reason = next((one.reason for one in result.candidates if one.id == recipe.id), "its format was not tried")
            raise ModelError(f"The recipe {recipe.id} could not be made again: {reason}")
    return tuple(made[recipe.id] for recipe in recipes)


def _variant(
    result: Compression,
    candidate: Candidate,
    source_outputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
) -> tuple[Variant, dict[str, Path | bytes]]:
    artifact, measurement = candidate.artifact, candidate.measurement
    assert artifact is not None  # packed candidates were made and measured
    assert measurement is not None
    members: dict[str, Path | bytes] = {f"variants/{candidate.id}/{file.name}": file for file in artifact.files}
    variant = Variant(
        id=candidate.id,
        format=artifact.format,
        precision=candidate.recipe.precision,
        delegates=(measurement.delegate,),
        files=tuple(file_entry(name, content) for name, content in members.items()),
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        needs=_NEEDS[artifact.format],
        tolerance={
            name: _tolerance(candidate.recipe.precision, source_outputs[name], array) for name, array in outputs.items()
        },
        certificate=candidate.certificate,
        measurements=(measurement,),
        macs=_macs(artifact),
        provenance=Provenance(
            source_name=result.spec.source.name,
            source_sha256=result.graph.source_sha256,
            data_sha256=result.evidence.digest if result.evidence else None,
            recipe=candidate.recipe.steps,
            tools=tool_versions(),
        ),
    )
    return variant, members


def _macs(artifact: Artifact) -> dict[str, int]:
    """Return the artifact's multiply-accumulates by operation, for the runtime's coverage by MACs."""
    found = inspect_artifact(artifact.path, artifact.format)
    return found.macs_by_operation if sum(found.operators.values()) <= _MOST_OPERATIONS else {}


def _golden(result: Compression) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return raw inputs (before pre-processing) and the float graph's outputs for them."""
    if result.evidence:
        return result.evidence.golden(GOLDEN_SAMPLES)
    return dict(result.graph.probe_inputs), dict(result.graph.probe_outputs)


def _own_outputs(result: Compression, candidate: Candidate) -> dict[str, NDArray[Any]]:
    """Return what the candidate's own engine answers to the golden inputs."""
    assert candidate.artifact is not None
    with tempfile.TemporaryDirectory(prefix="edgeai-golden-") as name:
        folder = Path(name)
        data, indices = _golden_source(result)
        job = Job(
            artifact=str(candidate.artifact.path),
            reference=None,
            format=candidate.artifact.format,
            inputs=result.graph.inputs,
            outputs=result.graph.outputs,
            own_inputs=candidate.artifact.inputs,
            own_outputs=candidate.artifact.outputs,
            data=data,
            preprocessing=result.spec.preprocessing if result.evidence else {},
            indices=indices,
            threads=result.spec.threads,
            duration_s=0,
            seed=result.spec.seed,
        )
        run_job(job, folder)
        return read_outputs(folder)


def _golden_source(result: Compression) -> tuple[str, tuple[int, ...]]:
    if result.evidence:
        return result.evidence.golden_samples(GOLDEN_SAMPLES)
    return str(result.graph.probes), tuple(range(result.graph.parity.n))


def _tolerance(precision: Precision, source: NDArray[Any], own: NDArray[Any]) -> Tolerance:
    largest = float(np.max(np.abs(source), initial=1e-6))
    error = float(np.max(np.abs(own.astype(np.float64) - source.astype(np.float64)), initial=0.0))
    return Tolerance(atol=max(_SPREAD * error, _FLOOR[precision] * largest), rtol=0.0)
