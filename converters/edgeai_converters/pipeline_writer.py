"""Put several bundles into one: a sequence, a cascade or an ensemble, each stage with its own evidence.

What a pipeline does at run time is `edgeai_runtime/pipeline.py`; before it is written here, it is loaded once, so that
stages that do not fit together are found on the workstation and not on the device.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from edgeai_converters.step_assets import pack_assets
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.bundle_files import open_container, read_manifest_bytes
from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME
from edgeai_runtime.bundle_writer import file_entry, write_bundle
from edgeai_runtime.errors import MissingEngineError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, Pipeline, Stage, Step, TensorSpec
from edgeai_runtime.manifest_json import parse_manifest
from edgeai_runtime.transforms.pipeline import outputs_taken

Members = dict[str, Path | bytes]


def write_pipeline(
    path: Path,
    stages: Mapping[str, Path],
    *,
    kind: Literal["sequence", "cascade", "ensemble"],
    thresholds: Sequence[float] = (),
    confidence: Literal["score", "margin", "softmax"] = "score",
    weights: Sequence[float] = (),
    combine: Literal["mean", "vote"] = "mean",
    inputs: Mapping[str, Mapping[str, str]] | None = None,
    preprocessing: Mapping[str, Sequence[Step]] | None = None,
    postprocessing: Mapping[str, Sequence[Step]] | None = None,
    labels: Sequence[str] = (),
    name: str = "",
    force: bool = False,
    as_folder: bool = False,
) -> None:
    """Write a bundle to `path` that runs the bundles `stages` (name → `.edge` file or folder) in their order.

    Args:
        path: the `.edge` file, or the folder when `as_folder`.
        stages: two or more; the members of each are copied as they are.
        kind: see `edgeai_runtime.manifest.Pipeline`.
        thresholds: of a cascade: the confidence below which a sample goes on, one per stage but the last.
        confidence: of a cascade: what of the first output is compared with the threshold.
        weights: of an ensemble: one per stage; by default all count the same.
        combine: of an ensemble.
        inputs: of a sequence: stage → its input → where that comes from, when names do not tell (`Stage.inputs`).
        preprocessing: per input of the first stage: steps before everything, on raw samples.
        postprocessing: per output of the last stage: steps after everything.
        labels: class names for these.
        name: of the bundle; by default the file's.
        force: replace a bundle that is already there.
        as_folder: write a folder instead of a zip.

    Raises:
        UsageError: options that do not belong to this kind, or of another number than the stages.
        BundleError: a stage is damaged, or the stages do not fit together.
        OutputError: `path` exists and `force` is not set, or cannot be written.

    Example:
        >>> write_pipeline(
        ...     Path("birds.edge"), {"small": Path("s.edge"), "big": Path("b.edge")}, kind="cascade", thresholds=[0.8]
        ... )                                               # doctest: +SKIP
    """
    _check(kind, len(stages), thresholds, weights, inputs or {}, list(stages))
    members: Members = {}
    manifests: list[Manifest] = []
    entries: list[Stage] = []
    for place, (stage, bundle) in enumerate(stages.items()):
        manifest, own = _members(Path(bundle), f"models/{stage}/")
        manifests.append(manifest)
        members |= own
        entries.append(
            Stage(
                name=stage,
                files=tuple(file_entry(member, content) for member, content in own.items()),
                inputs=dict((inputs or {}).get(stage, {})),
                threshold=thresholds[place] if place < len(thresholds) else None,
                weight=weights[place] if weights else 1.0,
            )
        )
    before, after, assets = pack_assets(preprocessing or {}, postprocessing or {})
    if labels:
        members["labels.txt"] = ("\n".join(labels) + "\n").encode()
    whole = Manifest(
        name=name or path.stem,
        version="1",
        inputs=manifests[0].inputs,
        outputs=_results(manifests[-1]),
        variants=(),
        preprocessing=before,
        postprocessing=after,
        labels=file_entry("labels.txt", members["labels.txt"]) if labels else None,
        assets={asset: file_entry(f"assets/{asset}", file) for asset, file in assets.items()},
        pipeline=Pipeline(kind=kind, stages=tuple(entries), confidence=confidence, combine=combine),
    )
    members |= {f"assets/{asset}": file for asset, file in assets.items()}
    _try(whole, members)
    write_bundle(path, whole, members, force=force, as_folder=as_folder)


def _members(path: Path, folder: str) -> tuple[Manifest, Members]:
    """Return the manifest of a bundle and all its members, each under `folder`, its bytes unchanged."""
    root = open_bundle(path).root
    with open_container(path) as container:
        manifest = read_manifest_bytes(container)
        members: Members = {folder + MANIFEST_NAME: manifest}
        for member in sorted(container.sizes):
            if member == SIGNATURE_NAME:
                members[folder + member] = b"".join(container.chunks(member))
            elif member != MANIFEST_NAME:
                members[folder + member] = root.joinpath(*member.split("/"))
    return parse_manifest(manifest, where=str(path)), members


def _results(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """Return the outputs that a call gives: not those that another one's steps take in."""
    taken = {name for steps in manifest.postprocessing.values() for name in outputs_taken(steps)}
    return tuple(spec for spec in manifest.outputs if spec.name not in taken)


def _try(manifest: Manifest, members: Members) -> None:
    """Load the pipeline, which checks that its stages fit together; where an engine is missing, that is not known."""
    with tempfile.TemporaryDirectory(prefix="edgeai-pipeline-") as folder:
        path = Path(folder) / "pipeline"
        write_bundle(path, manifest, members, as_folder=True)
        try:
            load(path, selfcheck="never").close()
        except MissingEngineError:
            return


def _check(
    kind: str,
    count: int,
    thresholds: Sequence[float],
    weights: Sequence[float],
    inputs: Mapping[str, object],
    names: Sequence[str],
) -> None:
    if count < 2:
        raise UsageError(f"a pipeline has two stages or more. Received: {count}")
    if len(thresholds) != (count - 1 if kind == "cascade" else 0):
        raise UsageError(
            f"a {kind} of {count} stages has {count - 1 if kind == 'cascade' else 0} thresholds. "
            f"Received: {len(thresholds)}",
            hint="A cascade has one for every stage but the last.",
        )
    if weights and (kind != "ensemble" or len(weights) != count):
        raise UsageError(
            f"weights are for an ensemble, one per stage. Received: {len(weights)} for a {kind} of {count}"
        )
    unknown = sorted(set(inputs) - set(names))
    if unknown or (inputs and kind != "sequence"):
        raise UsageError(
            f"inputs can only be given for the stages of a sequence. Received: {', '.join(inputs)} for a {kind}",
            hint=f"Its stages: {', '.join(names)}.",
        )
