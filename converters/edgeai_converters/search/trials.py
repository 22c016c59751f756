"""The order of a search: what is tried on which float graph, format by format, and when narrower networks follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.progress import Progress
from edgeai_converters.quantize.quantized_source import carry_refusal
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.bases import Base, Bases
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.device_gains import DeviceGains
from edgeai_converters.search.guide import guide, refined
from edgeai_converters.search.int8 import Int8Search
from edgeai_converters.search.ladders import by_islands, by_sensitivity
from edgeai_converters.search.recipes import (
    WIDE_SCHEMES,
    carried_recipes,
    finishing_steps,
    float_recipe,
    int4_recipes,
    stored_recipes,
)
from edgeai_converters.search.repairs import costly_repairs
from edgeai_converters.search.trial import Trial
from edgeai_converters.search.variant import Variant
from edgeai_converters.spec import CompressSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.bench.machine import isa_flags
from edgeai_runtime.manifest import Format

EPOCHS = 10
"""Most passes over the training data in quantization-aware training."""


class Trials:
    """The trials of one search.

    Attributes:
        bases: the float graphs that recipes began with.
        excess: by how much each rejected candidate misses its limit, by id.
        notes: what to tell of the search.
    """

    def __init__(
        self,
        spec: CompressSpec,
        graph: FloatGraph,
        evidence: Evidence | None,
        work: WorkFolder,
        progress: Progress,
    ) -> None:
        self._spec, self._evidence, self._work, self._progress = spec, evidence, work, progress
        self.bases = Bases(graph, evidence, spec.range_methods, work, progress.tell)
        self._trial = Trial(spec, self.bases, evidence, work, progress)
        self._gains = DeviceGains(spec, self._trial, work, progress)
        self.excess = self._trial.excess
        self.notes: tuple[str, ...] = ()

    def run(self) -> list[Candidate]:
        """Try what the spec allows and return the candidates, in the order tried.

        First all that can be made of the source's own graph; then, when there is data to train on and the limits on
        size or latency ask for it, narrower graphs.
        """
        formats = self._spec.formats
        if self._spec.recipes:
            formats = tuple(one for one in formats if any(one == recipe.format for recipe in self._spec.recipes))
        source = self.bases.source
        self._progress.add(sum(1 + len(self._fixed_recipes(format, source)) for format in formats))
        candidates: list[Candidate] = []
        references: dict[Format, Candidate] = {}
        for format in formats:
            reference = self._trial.run(float_recipe(format), next(iter(references.values()), None))
            candidates.append(reference)
            if reference.relative_latency is None:
                self._progress.add(-len(self._fixed_recipes(format, source)))
                continue
            references[format] = reference
            candidates += self._try_format(format, source, reference)
        if self._spec.prune != "never" and not self._spec.recipes and self._evidence and self._evidence.training:
            from edgeai_converters.search.narrowing import Narrowing

            narrowing = Narrowing(self._spec, self.bases, self._trial, self._evidence, self._work, self._progress)
            candidates += narrowing.run(candidates, references, self._try_narrower)
            self.notes = narrowing.notes
        return candidates

    def _try_narrower(self, base: Base, references: Mapping[Format, Candidate]) -> list[Candidate]:
        """Try all formats on another float graph, against the artifacts of the source's."""
        found: list[Candidate] = []
        for format, reference in references.items():
            self._progress.add(1 + len(self._fixed_recipes(format, base)))
            found.append(self._trial.run(float_recipe(format).on(base.steps), reference))
            found += self._try_format(format, base, reference)
        return found

    def _try_format(self, format: Format, base: Base, reference: Candidate) -> list[Candidate]:
        """Try a format's recipes on a float graph."""
        calibration, precisions = base.calibration, self._spec.precisions
        recipes: Iterable[Recipe] = self._fixed_recipes(format, base)
        found = [self._trial.run(recipe, reference) for recipe in recipes]
        if calibration and "int8" in precisions and not self._spec.recipes:
            found += self._gains.try_on(self._search_int8(calibration, format, base, reference), reference)
        if calibration and "int16x8" in precisions and format in WIDE_SCHEMES and not self._spec.recipes:
            wide = Variant(method=self._spec.range_methods[0], excluded=self._spec.exclude)
            self._progress.add(1)
            recipe = wide.recipe(format, WIDE_SCHEMES[format], precision="int16x8").on(base.steps)
            found.append(self._trial.run(recipe, reference))
        return found

    def _fixed_recipes(self, format: Format, base: Base) -> list[Recipe]:
        """Return the recipes whose turn depends on nothing found out on the way."""
        if self._spec.recipes:
            wanted = [recipe for recipe in self._spec.recipes if recipe.format == format]
            return [recipe for recipe in wanted if recipe.precision != "float32"]  # the reference is always made
        carried = base.graph.carried
        refusal = carry_refusal(carried, format) if carried is not None else "the source is not quantized"
        int4 = int4_recipes(self._spec, format, base.graph.model, calibrated=base.calibration is not None)
        carry = carried_recipes(self._spec, format, refusal=refusal)
        return [recipe.on(base.steps) for recipe in (*stored_recipes(self._spec, format), *int4, *carry)]

    def _search_int8(
        self, calibration: Calibration, format: Format, base: Base, reference: Candidate
    ) -> list[Candidate]:
        """Let the search for static int8 lead; certify the candidate that is good, or the one that lost least.

        All of this is decided on the search split: the certification split is opened for the chosen one alone.
        """
        search = self._int8_search(calibration, format)
        tried: list[Candidate] = []
        steps = search.run()
        recipe = next(steps, None)
        while recipe is not None:
            recipe = recipe.on(base.steps)
            if any(one.id == recipe.id for one in tried):  # as good as tried: the same nodes by another way
                candidate = next(one for one in tried if one.id == recipe.id)
            else:
                self._progress.add(1)
                candidate = self._trial.run(recipe, reference, certify=False)
                tried.append(candidate)
            try:
                recipe = steps.send(candidate)
            except StopIteration:
                recipe = None
        fit = [candidate for candidate in tried if candidate.status == "accepted"]
        if not fit:
            return tried
        good = [candidate for candidate in fit if search.is_good(candidate)]
        chosen = good[0] if good else min(fit, key=lambda candidate: candidate.search_drop or 0.0)
        lost = f"{chosen.id} lost less on the search split"
        return [
            self._trial.certify(candidate)
            if candidate is chosen
            else replace(candidate, status="rejected", reason=lost, limit="lost_more")
            if candidate in fit
            else candidate
            for candidate in tried
        ]

    def _int8_search(self, calibration: Calibration, format: Format) -> Int8Search:
        scheme = scheme_for(format, isa=isa_flags()).name
        spec = self._spec
        variants = guide(calibration, format, scheme, forced=spec.repairs, excluded=spec.exclude)
        return Int8Search(
            format=format,
            scheme=scheme,
            variants=variants,
            max_drop=spec.budget.max_drop,
            by_sensitivity=lambda variant: by_sensitivity(calibration, scheme, variant),
            by_islands=lambda variant: by_islands(calibration, scheme, variant),
            refined=lambda variant: refined(calibration, scheme, variant),
            costly_repairs=costly_repairs() if spec.repairs is None else (),
            finish=finishing_steps(spec, format),
            training={"epochs": EPOCHS, "seed": spec.seed} if calibration.training else {},
        )
