"""What must hold in a manifest beyond the types of its fields: paths, digests, shapes, names that agree.

One function per dataclass, in a table; `manifest_json.py` calls `check_object` on everything it reads or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from edgeai_runtime.bundle_paths import MANIFEST_NAME, SIGNATURE_NAME, check_member_path, check_paths_together
from edgeai_runtime.errors import BundleError, IntegrityError
from edgeai_runtime.manifest import (
    Certificate,
    FileEntry,
    Manifest,
    Measurement,
    Pipeline,
    Quantization,
    Stage,
    TensorSpec,
    Tolerance,
    Variant,
)

GOLDEN_INPUTS = "golden/inputs.npz"
GOLDEN_OUTPUTS = "golden/outputs.npz"
SOURCE_KEY = "source"
"""The key of the float source's recorded outputs, so no variant may be called so."""

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)

_HEX = frozenset("0123456789abcdef")


def check_object(value: Any, *, where: str) -> None:
    """Check one dataclass of a manifest; types without rules of their own pass.

    Raises:
        IntegrityError: a path or a digest.
        BundleError: anything else.
    """
    check = _CHECKS.get(type(value))
    if check is not None:
        check(value, where)


def manifest_files(manifest: Manifest) -> tuple[FileEntry, ...]:
    """Return every member the manifest names, once each, in the order of the archive.

    That is: variants, golden, labels, assets, stages.
    """
    return tuple({entry.path: entry for entry in _entries(manifest)}.values())


def _entries(manifest: Manifest) -> list[FileEntry]:
    entries = [entry for variant in manifest.variants for entry in variant.files]
    entries += manifest.golden
    entries += [manifest.labels] if manifest.labels is not None else []
    entries += manifest.assets.values()
    stages = manifest.pipeline.stages if manifest.pipeline is not None else ()
    return entries + [entry for stage in stages for entry in stage.files]


def _check_file(entry: FileEntry, where: str) -> None:
    check_member_path(entry.path, where=where)
    if entry.path.lower() in (MANIFEST_NAME, SIGNATURE_NAME):
        raise IntegrityError(f"{where}: {entry.path!r} cannot be listed in the manifest")
    if len(entry.sha256) != 64 or not _HEX.issuperset(entry.sha256):
        raise IntegrityError(f"{where}: sha256 must be 64 lower-case hex digits. Received: {entry.sha256[:80]!r}")
    if entry.size_bytes < 0:
        raise IntegrityError(f"{where}: size_bytes cannot be negative. Received: {entry.size_bytes}")


def _check_tensor(spec: TensorSpec, where: str) -> None:
    if not spec.name:
        raise BundleError(f"{where}: name is empty")
    if spec.dtype not in DTYPES:
        raise BundleError(f"{where}: dtype must be one of {', '.join(DTYPES)}. Received: {spec.dtype[:40]!r}")
    if any(size is not None and size < 0 for size in spec.shape):
        raise BundleError(f"{where}: a dimension is a size or null. Received: {spec.shape}")
    if spec.layout is not None and len(spec.layout) != len(spec.shape):
        raise BundleError(f"{where}: layout {spec.layout[:40]!r} has not one letter per dimension of {spec.shape}")


def _check_quantization(quantization: Quantization, where: str) -> None:
    if quantization.scale <= 0:
        raise BundleError(f"{where}: scale must be above zero. Received: {quantization.scale}")


def _check_tolerance(tolerance: Tolerance, where: str) -> None:
    if tolerance.atol < 0 or tolerance.rtol < 0:
        raise BundleError(f"{where}: a tolerance cannot be negative. Received: {tolerance.atol}, {tolerance.rtol}")


def _check_certificate(certificate: Certificate, where: str) -> None:
    if certificate.n < 0:
        raise BundleError(f"{where}: n cannot be negative. Received: {certificate.n}")
    _check_interval(certificate.drop_ci95, f"{where}.drop_ci95")


def _check_measurement(measurement: Measurement, where: str) -> None:
    if measurement.latency_median_ms < 0 or measurement.latency_p90_ms < 0:
        raise BundleError(f"{where}: a latency cannot be negative")
    _check_interval(measurement.latency_median_ci95_ms, f"{where}.latency_median_ci95_ms")
    _check_interval(measurement.speedup_ci95, f"{where}.speedup_ci95")


def _check_interval(interval: tuple[float, float], where: str) -> None:
    if interval[0] > interval[1]:
        raise BundleError(f"{where}: the lower end is above the upper one. Received: {list(interval)}")


def _is_id(text: str) -> bool:
    plain = text.translate({ord(mark): "0" for mark in "._+-"})
    return text.isascii() and plain.isalnum() and text[0].isalnum() and len(text) <= 64


def _check_variant(variant: Variant, where: str) -> None:
    if not _is_id(variant.id) or variant.id == SOURCE_KEY:
        raise BundleError(
            f"{where}: id must be 1 to 64 letters, digits, '.', '_', '+' or '-', and not {SOURCE_KEY!r}. "
            f"Received: {variant.id[:80]!r}"
        )
    if not variant.files:
        raise BundleError(f"{where}: variant {variant.id!r} has no files")
    if any(macs < 0 for macs in variant.macs.values()):
        raise BundleError(f"{where}: the macs of variant {variant.id!r} cannot be negative")


def stage_folder(stage: Stage) -> str:
    """Return the path, with a slash at its end, under which the members of a stage lie."""
    return f"models/{stage.name}/"


def _check_stage(stage: Stage, where: str) -> None:
    if not _is_id(stage.name):
        raise BundleError(
            f"{where}: a stage's name must be 1 to 64 letters, digits, '.', '_', '+' or '-'. "
            f"Received: {stage.name[:80]!r}"
        )
    folder = stage_folder(stage)
    outside = [entry.path for entry in stage.files if not entry.path.startswith(folder)]
    if outside:
        raise BundleError(f"{where}: {outside[0]!r} does not lie in the folder {folder!r} of its stage")
    if folder + MANIFEST_NAME not in [entry.path for entry in stage.files]:
        raise BundleError(f"{where}: the stage {stage.name!r} has no {MANIFEST_NAME}")
    if stage.weight <= 0:
        raise BundleError(f"{where}: a weight must be above zero. Received: {stage.weight}")


def _check_pipeline(pipeline: Pipeline, where: str) -> None:
    if len(pipeline.stages) < 2:
        raise BundleError(f"{where}: a pipeline has two stages or more. Received: {len(pipeline.stages)}")
    _check_unique([stage.name for stage in pipeline.stages], "stage", where)
    if pipeline.kind == "cascade":
        *before, last = pipeline.stages
        if last.threshold is not None or any(stage.threshold is None for stage in before):
            raise BundleError(f"{where}: in a cascade every stage but the last has a threshold")


def _check_manifest(manifest: Manifest, where: str) -> None:
    if not manifest.variants and manifest.pipeline is None:
        raise BundleError(f"{where}: there are no variants, so there is nothing to run")
    if manifest.pipeline is not None and (manifest.variants or manifest.golden):
        raise BundleError(f"{where}: a pipeline has neither variants nor golden samples of its own; its stages have")
    for what, names in (
        ("variant", [variant.id for variant in manifest.variants]),
        ("input", [spec.name for spec in manifest.inputs]),
        ("output", [spec.name for spec in manifest.outputs]),
    ):
        _check_unique(names, what, where)
    inputs, outputs = ({spec.name for spec in specs} for specs in (manifest.inputs, manifest.outputs))
    _check_known(manifest.preprocessing, inputs, f"{where}: preprocessing", "input")
    _check_known(manifest.postprocessing, outputs, f"{where}: postprocessing", "output")
    for variant in manifest.variants:
        _check_known(variant.tolerance, outputs, f"{where}: tolerance of variant {variant.id!r}", "output")
        for what, own, whole in (
            ("inputs", variant.inputs, manifest.inputs),
            ("outputs", variant.outputs, manifest.outputs),
        ):
            if len(own) != len(whole):
                raise BundleError(
                    f"{where}: variant {variant.id!r} has {len(own)} {what} where the manifest has {len(whole)}"
                )
    _check_files_together(manifest, where)


def _check_files_together(manifest: Manifest, where: str) -> None:
    golden = [entry.path for entry in manifest.golden]
    if golden and sorted(golden) != [GOLDEN_INPUTS, GOLDEN_OUTPUTS]:
        raise BundleError(f"{where}: golden must be {GOLDEN_INPUTS!r} and {GOLDEN_OUTPUTS!r}. Received: {golden[:4]}")
    seen: dict[str, FileEntry] = {}
    for entry in _entries(manifest):
        if seen.setdefault(entry.path, entry) != entry:
            raise IntegrityError(f"{where}: {entry.path!r} is listed twice with different digests or sizes")
    check_paths_together([*seen, MANIFEST_NAME, SIGNATURE_NAME], where=where)


def _check_unique(names: list[str], what: str, where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BundleError(f"{where}: two {what}s are called {name[:80]!r}")
        seen.add(name)


def _check_known(names: Iterable[str], known: set[str], where: str, what: str) -> None:
    for name in names:
        if name not in known:
            raise BundleError(f"{where}: there is no {what} {name[:80]!r}", hint=f"Known: {', '.join(sorted(known))}.")


_CHECKS: dict[type[Any], Callable[[Any, str], None]] = {
    Certificate: _check_certificate,
    FileEntry: _check_file,
    Manifest: _check_manifest,
    Measurement: _check_measurement,
    Pipeline: _check_pipeline,
    Quantization: _check_quantization,
    Stage: _check_stage,
    TensorSpec: _check_tensor,
    Tolerance: _check_tolerance,
    Variant: _check_variant,
}
