"""`edgeai.diff`: what changed from one bundle (or model file) to another.

What is compared is what the two say and hold: operators, sizes, accuracy, latency, provenance, boundary, steps. Nothing
is run. Latencies were measured in separate runs, so they are shown as they are; `edgeai bench` compares two bundles
side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeai.inspection import inspect
from edgeai_converters.inspection.record import Inspection
from edgeai_runtime.bundle import Bundle, is_bundle, open_bundle
from edgeai_runtime.manifest import Certificate, Manifest, Measurement, Provenance, Step, TensorSpec, Variant
from edgeai_runtime.manifest_checks import stage_folder

Facts = dict[tuple[str, str], Any]
SECTIONS = (
    *("bundle", "pipeline", "boundary", "steps", "operators", "size"),
    *("accuracy", "latency", "provenance", "files", "metadata"),
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that is not the same: its section, its name, and both values (`None`: not there).

    `note` says how far it goes (`-12.5%`), or why the two values cannot be compared.
    """

    section: str
    name: str
    a: Any
    b: Any
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class VariantDiff:
    """A variant in both bundles, or in one alone (the other id is `None`), and what changed in it."""

    a: str | None
    b: str | None
    changes: tuple[Change, ...]

    @property
    def status(self) -> str:
        """`same`, `changed`, `added` or `removed`."""
        if self.a is None or self.b is None:
            return "added" if self.a is None else "removed"
        return "changed" if self.changes or self.a != self.b else "same"


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What changed from the bundle `a` to the bundle `b`; `changes` are those of the whole, outside of variants."""

    a: Path
    b: Path
    changes: tuple[Change, ...]
    variants: tuple[VariantDiff, ...]

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return not self.changes and all(one.status == "same" for one in self.variants)

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON document of `edgeai diff --json`."""
        return {
            "a": str(self.a),
            "b": str(self.b),
            "same": self.same,
            "changes": [asdict(one) for one in self.changes],
            "variants": [
                {"a": one.a, "b": one.b, "status": one.status, "changes": [asdict(each) for each in one.changes]}
                for one in self.variants
            ],
        }


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> Diff:
    """Say what changed from one bundle to another, or from one model file to another.

    Variants are paired by their id; of those left over, by format and precision.

    Args:
        a: the older one: a bundle, or a `.tflite`, `.onnx` or OpenVINO `.xml` model.
        b: the newer one.

    Raises:
        UsageError: nothing is there.
        ModelError: a file that is no model.
        BundleError: a bundle that is damaged.

    Example:
        >>> edgeai.diff("old.edge", "new.edge").same  # doctest: +SKIP
        False
    """
    paths = Path(a), Path(b)
    (whole_a, variants_a), (whole_b, variants_b) = (_read(path) for path in paths)
    pairs = _pair(variants_a, variants_b)
    return Diff(
        a=paths[0],
        b=paths[1],
        changes=_changes(whole_a, whole_b),
        variants=tuple(
            VariantDiff(
                a=left,
                b=right,
                changes=_changes(variants_a[left], variants_b[right]) if left and right else (),
            )
            for left, right in pairs
        ),
    )


def _read(path: Path) -> tuple[Facts, dict[str, Facts]]:
    """Return the facts of the whole, and of each variant by its id (a bare artifact has one, without a name)."""
    found = inspect(path)
    if not is_bundle(path):
        return {}, {"model": _content(found)}
    bundle = open_bundle(path)
    by_id = {str(one.id): one for one in found.variants}
    whole = _whole(bundle.manifest)
    whole["size", "size_bytes"] = found.size_bytes
    return whole, {
        name: _content(by_id[name]) | _claims(variant) for name, variant in _variants(bundle) if name in by_id
    }


def _variants(bundle: Bundle) -> Iterator[tuple[str, Variant]]:
    yield from ((one.id, one) for one in bundle.manifest.variants)
    for stage in bundle.manifest.pipeline.stages if bundle.manifest.pipeline is not None else ():
        inner = open_bundle(bundle.root / stage_folder(stage))
        yield from ((f"{stage.name}/{name}", one) for name, one in _variants(inner))


def _whole(manifest: Manifest) -> Facts:
    facts: Facts = {("bundle", "name"): manifest.name, ("bundle", "version"): manifest.version}
    facts |= {("boundary", f"input {spec.name}"): _tensor(spec) for spec in manifest.inputs}
    facts |= {("boundary", f"output {spec.name}"): _tensor(spec) for spec in manifest.outputs}
    for kind, steps in (("preprocess", manifest.preprocessing), ("postprocess", manifest.postprocessing)):
        facts |= {("steps", f"{kind} {name}"): _steps(each) for name, each in steps.items() if each}
    named = {"labels": manifest.labels, **manifest.assets, **{one.path: one for one in manifest.golden}}
    facts |= {("files", name): one.sha256 for name, one in named.items() if one is not None}
    facts |= {("metadata", name): value for name, value in manifest.metadata.items()}
    if manifest.pipeline is not None:
        facts["pipeline", "kind"] = manifest.pipeline.kind
        facts["pipeline", "stages"] = [stage.name for stage in manifest.pipeline.stages]
    return facts


def _content(found: Inspection) -> Facts:
    facts: Facts = {("boundary", "format"): found.format, ("boundary", "precision"): found.precision}
    facts |= {("boundary", f"input {spec.name}"): _tensor(spec) for spec in found.inputs}
    facts |= {("boundary", f"output {spec.name}"): _tensor(spec) for spec in found.outputs}
    facts |= {("operators", name): count for name, count in found.operators.items()}
    facts |= {("size", "parameters"): found.parameters, ("size", "macs"): found.macs}
    facts["size", "size_bytes"] = found.size_bytes
    return facts


def _claims(variant: Variant) -> Facts:
    """Return what the manifest says of a variant, beyond what is in its files."""
    facts: Facts = {("boundary", "precision"): variant.precision, ("boundary", "delegates"): list(variant.delegates)}
    facts |= {("boundary", f"needs {name}"): text for name, text in variant.needs.items()}
    facts |= {("files", entry.path): entry.sha256 for entry in variant.files}
    if variant.encryption is not None:
        facts["files", "encryption"] = f"{variant.encryption.method}, key {variant.encryption.key_id[:16]}"
    facts |= _accuracy(variant.certificate) if variant.certificate is not None else {}
    for measured in variant.measurements:
        facts |= _latency(measured)
    return facts | (_provenance(variant.provenance) if variant.provenance is not None else {})


def _accuracy(made: Certificate) -> Facts:
    names = ("metric", "source_score", "score", "drop", "drop_ci95", "flip_rate", "n", "max_drop", "verdict")
    return {("accuracy", name): _plain(getattr(made, name)) for name in names}


def _latency(measured: Measurement) -> Facts:
    where = f"{measured.delegate}, {measured.threads} thread{'s' if measured.threads > 1 else ''}"
    names = ("engine_version", "latency_median_ms", "latency_median_ci95_ms", "latency_p90_ms")
    facts = {name: _plain(getattr(measured, name)) for name in (*names, "speedup_vs_float", "speedup_ci95")}
    facts |= {"peak_memory_mib": measured.peak_memory_mib, "machine": measured.machine.get("cpu", "unknown")}
    return {("latency", f"{where}: {name}"): value for name, value in facts.items()}


def _provenance(known: Provenance) -> Facts:
    facts = {name: getattr(known, name) for name in ("source_name", "source_sha256", "data_sha256")}
    facts |= {"recipe": _steps(known.recipe), **{f"tool {name}": text for name, text in known.tools.items()}}
    return {("provenance", name): value for name, value in facts.items()}


def _tensor(spec: TensorSpec) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in spec.shape)
    stored = spec.quantization
    text = f"{spec.dtype} [{shape}]{f' {spec.layout}' if spec.layout else ''}"
    return text + (f", scale {stored.scale:.6g}, zero point {stored.zero_point}" if stored is not None else "")


def _steps(steps: Sequence[Step]) -> list[str]:
    return [f"{one.op}({', '.join(f'{name}={value}' for name, value in one.params.items())})" for one in steps]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _pair(a: Mapping[str, Facts], b: Mapping[str, Facts]) -> list[tuple[str | None, str | None]]:
    """Return ids of variants that belong together, in the order of `a`, then what only `b` has."""
    left = [name for name in b if name not in a]
    pairs: list[tuple[str | None, str | None]] = []
    for name, facts in a.items():
        kind = [facts.get(("boundary", key)) for key in ("format", "precision")]
        alike = [one for one in left if [b[one].get(("boundary", key)) for key in ("format", "precision")] == kind]
        other = name if name in b else next(iter(alike), None)
        if other in left:
            left.remove(other)
        pairs.append((name, other))
    return pairs + [(None, name) for name in left]


def _changes(a: Facts, b: Facts) -> tuple[Change, ...]:
    """Return what differs, section by section."""
    found = [
        Change(section=key[0], name=key[1], a=a.get(key), b=b.get(key), note=_note(key, a, b))
        for key in [*a, *(key for key in b if key not in a)]
        if a.get(key) != b.get(key)
    ]
    return tuple(sorted(found, key=lambda one: SECTIONS.index(one.section)))


def _note(key: tuple[str, str], a: Facts, b: Facts) -> str:
    """Say how far a number changed; of a latency, whether the two can be compared at all."""
    old, new = a.get(key), b.get(key)
    if isinstance(old, bool) or not isinstance(old, (int, float)) or not isinstance(new, (int, float)) or not old:
        return ""
    note = f"{(new - old) / abs(old):+.1%}"
    if not key[1].endswith("latency_median_ms"):
        return note
    where = key[1].removesuffix("latency_median_ms")
    if a.get(("latency", f"{where}machine")) != b.get(("latency", f"{where}machine")):
        return f"{note}, on another machine"
    (low, high), (new_low, new_high) = (facts["latency", f"{where}latency_median_ci95_ms"] for facts in (a, b))
    if low <= new_high and new_low <= high:
        return f"{note}, the intervals overlap"
    return f"{note}, measured apart"
