"""Weights that a device's compiler packs: fewer values or zeros, tried on int8 networks where its profile names a gain.

On a CPU such weights gain nothing, so a candidate with them is accepted only where the device's compiler says that it
takes less flash than the same network without. Where it cannot say so on this machine, the candidate stays in the
table with what it loses, rejected, and its recipe can be replayed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgeai_converters.progress import Progress
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.trial import Trial
from edgeai_converters.spec import CompressSpec
from edgeai_converters.workfolder import WorkFolder, digest_of_path
from edgeai_devices.compilers.table import find_compiler, load_compiler
from edgeai_devices.profile import Profile
from edgeai_devices.profile_rules import COMPILERS, Gain
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.manifest import Format, Step

CLUSTERS = (8, 16, 32)
"""Values that a weight may take, fewest first. Vela's format has a palette of 32 at most."""

SHARES = (0.7, 0.5, 0.3)
"""Shares of a weight that become zero, largest first."""

LEAST_GAIN = 0.01
"""A smaller share of the flash is no gain."""

_FILE = "flash.json"


@dataclass(frozen=True, kw_only=True)
class Packing:
    """One way to prepare weights that a device gains by.

    Attributes:
        gain: what the profile says.
        compilers: of the device, those that pack such weights.
        steps: the step of a recipe, the one that packs best first.
    """

    gain: Gain
    compilers: tuple[str, ...]
    steps: tuple[Step, ...]


def packings_for(profile: Profile | None, format: Format) -> tuple[Packing, ...]:
    """Return what is worth trying for a device in a format; nothing without a device, or where it gains by nothing."""
    found: dict[tuple[str, str], Packing] = {}
    for rules in profile.rules if profile is not None else ():
        if rules.vocabulary != format:
            continue
        compilers = tuple(name for name in rules.applies_to if name in COMPILERS)
        for gain in rules.gains:
            packing = Packing(gain=gain, compilers=compilers, steps=_steps(gain))
            found.setdefault((gain.method, gain.pattern), packing)
    return tuple(found.values())


def with_step(recipe: Recipe, step: Step) -> Recipe:
    """Return a recipe with a step that prepares weights: zeros before they are quantized, clusters of the integers.

    Zeros stay zero because weights are quantized symmetrically; clusters of float weights would be lost.
    """
    place = next(i for i, one in enumerate(recipe.steps) if one.op == "quantize")
    place += step.op == "cluster_weights"
    return replace(recipe, steps=(*recipe.steps[:place], step, *recipe.steps[place:]))


class DeviceGains:
    """What tries weights that the device packs."""

    def __init__(self, spec: CompressSpec, trial: Trial, work: WorkFolder, progress: Progress) -> None:
        self._spec, self._trial, self._work, self._progress = spec, trial, work, progress

    def try_on(self, candidates: Sequence[Candidate], reference: Candidate) -> list[Candidate]:
        """Return candidates of one format, with what the device's compiler says of the accepted one, and packed ones.

        Args:
            candidates: static int8 of one float graph; at most one is accepted.
            reference: the float candidate of the format.
        """
        found = list(candidates)
        whole = next((one for one in found if one.status == "accepted" and _is_quantized(one)), None)
        if whole is None:
            return found
        for packing in packings_for(self._spec.device, whole.recipe.format):
            flash, why = self._flash(whole, packing)
            if flash is not None:
                found = [replace(one, flash_bytes=flash) if one.id == whole.id else one for one in found]
            found += self._try_packing(packing, whole, flash, why, reference)
        return found

    def _try_packing(
        self, packing: Packing, whole: Candidate, flash: int | None, why: str, reference: Candidate
    ) -> list[Candidate]:
        """Return what was tried, the best packed first, until one loses little; all is decided on the search split."""
        tried: list[Candidate] = []
        for step in packing.steps:
            self._progress.add(1)
            tried.append(self._trial.run(with_step(whole.recipe, step), reference, certify=False))
            if self._is_good(tried[-1]):
                break
        fit = [one for one in tried if self._is_good(one)]
        if not fit:
            lost = "it loses more on the search split than the budget allows"
            return [_rejected(one, lost, "lost_more") if one.status == "accepted" else one for one in tried]
        lost = f"{fit[0].id} loses little enough"
        return [
            self._judged(one, packing, whole, flash, why)
            if one is fit[0]
            else _rejected(one, lost, "lost_more")
            if one.status == "accepted"
            else one
            for one in tried
        ]

    def _judged(self, one: Candidate, packing: Packing, whole: Candidate, flash: int | None, why: str) -> Candidate:
        """Certify a packed candidate when the device gains by it."""
        one = replace(one, relative_latency=whole.relative_latency)  # kernels compute the same: the rest is noise
        smaller, why = self._flash(one, packing) if flash is not None else (None, why)
        if flash is None or smaller is None:
            return _rejected(one, f"how much the device gains is not known here: {why}", "no_gain")
        one = replace(one, flash_bytes=smaller)
        if smaller > flash * (1 - LEAST_GAIN):
            return _rejected(one, f"{smaller} bytes of flash, {flash} without: no gain", "no_gain")
        note = f"{smaller} bytes of the device's flash, {flash} without: {packing.gain.method} pack better"
        return self._trial.certify(replace(one, notes=(*one.notes, note)))

    def _is_good(self, candidate: Candidate) -> bool:
        most, drop = self._spec.budget.max_drop, candidate.search_drop
        return candidate.status == "accepted" and (most is None or drop is None or drop <= most)

    def _flash(self, candidate: Candidate, packing: Packing) -> tuple[int | None, str]:
        """Return the flash that a candidate takes on the device, in bytes; else why nobody can say."""
        if packing.gain.effect != "flash":
            return None, f"{packing.gain.effect} is measured on the device alone"
        assert candidate.artifact is not None, "what was accepted was made"
        why = "no compiler of it is known"
        for name in packing.compilers:
            try:
                return self._compiled_flash(candidate.artifact.path, name), ""
            except EdgeAIError as error:
                why = f"{error.message} {error.hint}".strip()
        return None, why

    def _compiled_flash(self, path: Path, compiler: str) -> int:
        profile = self._spec.device
        assert profile is not None, "gains are those of a device"
        module = load_compiler(find_compiler(compiler))

        def make(folder: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="edgeai-compiled-") as made:
                report = module.compile_model(path, profile=profile, folder=Path(made)).report
            if report.flash_bytes is None:
                raise UsageError(f"{compiler} does not report the flash.")
            (folder / _FILE).write_text(json.dumps(report.flash_bytes))

        key = {"artifact": digest_of_path(path), "device": profile.to_json(), compiler: module.version()}
        return int(json.loads((self._work.step("flash", key, make) / _FILE).read_text()))


def _steps(gain: Gain) -> tuple[Step, ...]:
    if gain.method == "clusters":
        return tuple(Step(op="cluster_weights", params={"clusters": clusters}) for clusters in CLUSTERS)
    if gain.pattern:
        return (Step(op="sparsify", params={"pattern": [int(part) for part in gain.pattern.split(":")]}),)
    return tuple(Step(op="sparsify", params={"share": share}) for share in SHARES)


def _is_quantized(candidate: Candidate) -> bool:
    return any(step.op == "quantize" for step in candidate.recipe.steps)


def _rejected(candidate: Candidate, reason: str, limit: Literal["lost_more", "no_gain"]) -> Candidate:
    return replace(candidate, status="rejected", reason=reason, limit=limit)
