"""What is exported: one artifact, alone or as a variant of a bundle, with all that is known around it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai.exporting.table import Exporter
from edgeai_runtime.errors import ModelError, UsageError
from edgeai_runtime.manifest import FORMATS, Format, Step, TensorSpec, Tolerance, Variant
from edgeai_runtime.record import replace

if TYPE_CHECKING:
    from edgeai_devices.profile import Profile
    from edgeai_runtime.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One artifact to export.

    Attributes:
        name: of the model, in words an identifier can be made of.
        came_from: the file that was given, for comments in sources.
        path: the artifact.
        format: of the artifact.
        precision: how its heavy operators compute, `mixed` when not all alike.
        inputs, outputs: of the graph, as the bundle declares them, in the order of the artifact; a bare model's own.
        own_inputs, own_outputs: the artifact's own, as its engine counts them.
        preprocessing, postprocessing: by name of input and output.
        labels: class names.
        tolerance: by name of output, against the recorded ones.
        bundle, variant: where it came from; `None` for a bare model.
    """

    name: str
    came_from: str
    path: Path
    format: Format
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    own_inputs: tuple[TensorSpec, ...]
    own_outputs: tuple[TensorSpec, ...]
    preprocessing: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    postprocessing: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)
    bundle: Bundle | None = None
    variant: Variant | None = None

    @cached_property
    def content(self) -> bytes:
        """The artifact's bytes."""
        return self.path.read_bytes()

    @property
    def sha256(self) -> str:
        """The artifact's digest, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def origin(self) -> str:
        """Where it came from, in words."""
        return f"{self.came_from}, variant {self.variant.id}" if self.variant is not None else self.came_from

    @property
    def words(self) -> tuple[str, ...]:
        """The name as lower-case words that make an identifier in any language: `my-model.v2` → `my`, `model`, `v2`."""
        words = re.findall(r"[a-z0-9]+", self.name.lower())
        return tuple(words) if words and words[0][0].isalpha() else ("model", *words)


def read_subject(
    path: Path,
    *,
    formats: Sequence[Format],
    target: Exporter,
    profile: Profile | None = None,
    variant: str | None = None,
) -> Subject:
    """Open a bundle, or inspect a model file, and choose what is exported.

    Args:
        path: the bundle or model.
        formats: what the target takes.
        target: whose precisions are wanted.
        profile: a device; what it has no use for is not chosen.
        variant: the only one that is wanted.

    Raises:
        UsageError: nothing is there, no such variant, or a variant was named for a bare model.
        ModelError: nothing in it that the target takes.
        BundleError: a bundle that is damaged.
    """
    from edgeai_runtime.bundle import is_bundle

    if not path.exists():
        raise UsageError(f"There is no file {path}.")
    if is_bundle(path) or path.suffix.lower() == ".edge":
        return _of_bundle(path, formats, target, profile, variant)
    if variant is not None:
        raise UsageError(f"{path} is no bundle and has no variant {variant!r}.")
    return _of_model(path, formats, target)


def _of_bundle(
    path: Path, formats: Sequence[Format], target: Exporter, profile: Profile | None, wanted: str | None
) -> Subject:
    from edgeai_converters.inspection.table import inspect_artifact
    from edgeai_runtime.bundle import open_bundle

    bundle = open_bundle(path)
    manifest = bundle.manifest
    if manifest.pipeline is not None:
        raise ModelError(f"{path} holds several models in a row.", hint="Export the bundle of each stage.")
    chosen = _choose(manifest.variants, formats, target, profile, wanted, where=str(path))
    found = inspect_artifact(bundle.file(chosen.files[0]), chosen.format)
    inputs, own_inputs = _as_counted(manifest.inputs, chosen.inputs, found.inputs)
    outputs, own_outputs = _as_counted(manifest.outputs, chosen.outputs, found.outputs)
    return Subject(
        name=manifest.name,
        came_from=path.name,
        path=bundle.file(chosen.files[0]),
        format=chosen.format,
        precision=chosen.precision,
        inputs=inputs,
        outputs=outputs,
        own_inputs=own_inputs,
        own_outputs=own_outputs,
        preprocessing=manifest.preprocessing,
        postprocessing=manifest.postprocessing,
        labels=bundle.labels(),
        tolerance=chosen.tolerance,
        bundle=bundle,
        variant=chosen,
    )


def _as_counted(
    outer: Sequence[TensorSpec], own: Sequence[TensorSpec], engine: Sequence[TensorSpec]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the bundle's tensors and the variant's in the order of the artifact: by name, else as they stand."""
    names = [spec.name for spec in own]
    by_name = len(set(names)) == len(names) and sorted(names) == sorted(spec.name for spec in engine)
    places = [names.index(spec.name) for spec in engine] if by_name else range(len(own))
    merged = tuple(
        replace(own[place], dtype=spec.dtype, quantization=own[place].quantization or spec.quantization)
        for place, spec in zip(places, engine, strict=True)
    )
    return tuple(outer[place] for place in places), merged


def _choose(
    variants: Sequence[Variant],
    formats: Sequence[Format],
    target: Exporter,
    profile: Profile | None,
    wanted: str | None,
    *,
    where: str,
) -> Variant:
    """Return the first variant that the target takes, those of the device's precisions before others."""
    if wanted is not None:
        for each in variants:
            if each.id == wanted:
                _refuse(each.format, each.precision, formats, target, what=f"the variant {each.id}")
                return each
        raise UsageError(f"{where} has no variant {wanted!r}. It has: {', '.join(each.id for each in variants)}.")
    fit = [each for each in variants if each.format in formats and each.precision in target.precisions]
    first = [each for each in fit if profile is None or each.precision in profile.precisions]
    if fit:
        return (first or fit)[0]
    has = ", ".join(f"{each.id} ({each.format}, {each.precision})" for each in variants) or "none"
    raise ModelError(
        f"{where} has no variant for {target.runs_on}, which takes {' or '.join(formats)} in "
        f"{', '.join(target.precisions)}. Its variants: {has}.",
        hint=f"edgeai compress MODEL --data DATA --format {formats[0]} --precision {target.precisions[0]}",
    )


def _of_model(path: Path, formats: Sequence[Format], target: Exporter) -> Subject:
    from edgeai.inspection import inspect

    found = inspect(path)
    format: Format | None = next((each for each in FORMATS if each == found.format), None)
    if format is None:
        raise ModelError(f"{path} is {found.format}.", hint=f"edgeai convert MODEL --to {formats[0]}")
    for precision in found.precision_mix or {found.precision: 1.0}:
        _refuse(format, precision, formats, target, what=str(path))
    return Subject(
        name=path.stem,
        came_from=path.name,
        path=path,
        format=format,
        precision=found.precision,
        inputs=found.inputs,
        outputs=found.outputs,
        own_inputs=found.inputs,
        own_outputs=found.outputs,
    )


def _refuse(format: Format, precision: str, formats: Sequence[Format], target: Exporter, *, what: str) -> None:
    if format not in formats:
        raise ModelError(
            f"{what} is {format}; {target.runs_on} takes {' or '.join(formats)}.",
            hint=f"edgeai convert MODEL --to {formats[0]}",
        )
    if precision not in target.precisions:
        raise ModelError(
            f"{what} computes in {precision}; {target.runs_on} has kernels for {', '.join(target.precisions)}.",
            hint=f"edgeai compress MODEL --data DATA --format {formats[0]} --precision {target.precisions[0]}",
        )
