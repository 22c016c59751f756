"""`edgeai.check`: whether a model or bundle fits a device, and what would mend it where it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai.inspection import format_of
from edgeai_converters.facts.table import read_facts
from edgeai_devices.catalog import find_profile
from edgeai_devices.fit import check_fit
from edgeai_devices.fit_report import FitReport
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import ModelError, UsageError

__all__ = ["Checked", "check"]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A model or bundle held against a device.

    Attributes:
        device: the profile's id.
        report: of the model; of a bundle that of the best variant that fits, or of the first one.
        variant: id of that variant; `None` for a model.
        variants: of a bundle, every variant's report by its id, best first.
    """

    device: str
    report: FitReport
    variant: str | None = None
    variants: tuple[tuple[str, FitReport], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it fits: of a bundle, whether one of its variants does."""
        return self.report.ok

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys; `variant` and `variants` only for a bundle."""
        document = self.report.to_json()
        if self.variant is not None:
            document["variant"] = self.variant
            document["variants"] = [{"id": name, **report.to_json()} for name, report in self.variants]
        return document


def check(path: str | os.PathLike[str], device: str, *, own: str | os.PathLike[str] | None = None) -> Checked:
    """Say whether a `.tflite`, `.onnx` or OpenVINO `.xml` model, or a bundle, fits a device. Nothing is run.

    Args:
        path: the file, or the folder of an unpacked bundle.
        device: id of a device profile, as `edgeai devices` lists them.
        own: folder of profiles of your own; by default `./devices`.

    Raises:
        UsageError: nothing is there, or there is no such profile.
        ModelError: empty, damaged or foreign content, or a source that has to be converted first.
        BundleError: a bundle that is damaged or was changed.

    Example:
        >>> edgeai.check("digits.edge", "stm32u575").ok  # doctest: +SKIP
        True
    """
    from edgeai_runtime.bundle import is_bundle

    profile = find_profile(device, own=None if own is None else Path(own))
    file = Path(path)
    if not file.exists():
        raise UsageError(f"There is no file {file}.")
    if not is_bundle(file) and file.suffix.lower() != ".edge":
        return Checked(device=device, report=check_fit(read_facts(file, format_of(file)), profile))
    reports = tuple(_check_bundle(file, profile))
    name, report = next((one for one in reports if one[1].ok), reports[0])
    return Checked(device=device, report=report, variant=name, variants=reports)


def _check_bundle(path: Path, profile: Profile) -> Iterator[tuple[str, FitReport]]:
    from edgeai_runtime.bundle import open_bundle

    bundle = open_bundle(path)
    if bundle.manifest.pipeline is not None:
        raise ModelError(
            f"{path} is a pipeline of several models, whose memory depends on which of them are loaded at once.",
            hint="Check the bundle of each stage.",
        )
    if not bundle.manifest.variants:
        raise ModelError(f"The bundle {path} has no variants.")
    for variant in bundle.manifest.variants:
        if variant.encryption is not None:
            raise ModelError(f"{path}: {variant.id} is encrypted.", hint="Check the bundle before it is encrypted.")
        yield variant.id, check_fit(read_facts(bundle.file(variant.files[0]), variant.format), profile)
