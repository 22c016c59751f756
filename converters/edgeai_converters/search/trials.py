"""Try recipes: make each artifact, measure it in its engine, judge it, certify it.

Everything made or measured is a step of the work folder. An error on the way becomes the reason of a rejection, so
that one candidate never takes a search down.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.evaluate.evidence import Evidence, SplitName
from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import read_measurement, read_outputs, run_job
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.progress import Progress
from edgeai_converters.quantize.quantized_source import carry_refusal
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_converters.recipe import Recipe
from edgeai_converters.routes import TOLERANCES
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.guide import guide, refined
from edgeai_converters.search.int8 import Int8Search
from edgeai_converters.search.judge import Rejection, reject_for_cost, reject_on_certificate, reject_on_search_split
from edgeai_converters.search.ladders import by_islands, by_sensitivity
from edgeai_converters.search.make import make_artifact, read_artifact
from edgeai_converters.search.recipes import (
    WIDE_SCHEMES,
    carried_recipes,
    finishing_steps,
    float_recipe,
    int4_recipes,
    stored_recipes,
)
from edgeai_converters.search.repairs import costly_repairs
from edgeai_converters.search.steps import NoEffectError
from edgeai_converters.search.variant import Variant
from edgeai_converters.spec import CompressSpec
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of_path
from edgeai_runtime.bench.machine import describe_machine, isa_flags
from edgeai_runtime.errors import EdgeAIError, MissingEngineError
from edgeai_runtime.manifest import Format

_OTHER_OUTPUTS_COSINE = 0.95
"""Least cosine similarity to the float source of int8 outputs that the metric does not score."""

_TIMING_S = 1.0
"""How long a candidate and its float reference are timed together."""

EPOCHS = 10
"""Most passes over the training data in quantization-aware training."""


class Trials:
    """The trials of one search.

    Attributes:
        excess: by how much each rejected candidate misses its limit, by id.
    """

    def __init__(
        self,
        spec: CompressSpec,
        graph: FloatGraph,
        evidence: Evidence | None,
        work: WorkFolder,
        progress: Progress,
    ) -> None:
        self._spec, self._graph, self._evidence = spec, graph, evidence
        self._work, self._progress = work, progress
        self._calibration = Calibration(graph, evidence, spec.range_methods, work, progress.tell) if evidence else None
        self.excess: dict[str, float] = {}

    def run(self) -> list[Candidate]:
        """Try what the spec allows and return the candidates, in the order tried."""
        formats = self._spec.formats
        if self._spec.recipes:
            formats = tuple(one for one in formats if any(one == recipe.format for recipe in self._spec.recipes))
        self._progress.add(sum(1 + len(self._fixed_recipes(format)) for format in formats))
        candidates: list[Candidate] = []
        base: Candidate | None = None
        for format in formats:
            reference = self._try(float_recipe(format), base)
            candidates.append(reference)
            recipes = self._fixed_recipes(format)
            if reference.relative_latency is None:
                self._progress.add(-len(recipes))
                continue
            base = base or reference
            candidates += [self._try(recipe, reference) for recipe in recipes]
            if self._calibration and "int8" in self._spec.precisions and not self._spec.recipes:
                candidates += self._search_int8(self._calibration, format, reference)
            if self._calibration and "int16x8" in self._spec.precisions and format in WIDE_SCHEMES:
                wide = Variant(method=self._spec.range_methods[0], excluded=self._spec.exclude)
                self._progress.add(1)
                recipe = wide.recipe(format, WIDE_SCHEMES[format], precision="int16x8")
                candidates.append(self._try(recipe, reference))
        return candidates

    def _fixed_recipes(self, format: Format) -> list[Recipe]:
        """Return the recipes whose turn depends on nothing found out on the way."""
        if self._spec.recipes:
            wanted = [recipe for recipe in self._spec.recipes if recipe.format == format]
            return [recipe for recipe in wanted if recipe.precision != "float32"]  # the reference is always made
        carried = self._graph.carried
        refusal = carry_refusal(carried, format) if carried is not None else "the source is not quantized"
        int4 = int4_recipes(self._spec, format, self._graph.model, calibrated=self._calibration is not None)
        return [*stored_recipes(self._spec, format), *int4, *carried_recipes(self._spec, format, refusal=refusal)]

    def _search_int8(self, calibration: Calibration, format: Format, reference: Candidate) -> list[Candidate]:
        """Let the search for static int8 lead; certify the candidate that is good, or the one that lost least.

        All of this is decided on the search split: the certification split is opened for the chosen one alone.
        """
        search = self._int8_search(calibration, format)
        tried: list[Candidate] = []
        steps = search.run()
        recipe = next(steps, None)
        while recipe is not None:
            if any(one.id == recipe.id for one in tried):  # as good as tried: the same nodes by another way
                candidate = next(one for one in tried if one.id == recipe.id)
            else:
                self._progress.add(1)
                candidate = self._try(recipe, reference, certify=False)
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
            self._certify(candidate)
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

    def _try(self, recipe: Recipe, reference: Candidate | None, *, certify: bool = True) -> Candidate:
        """Make, measure, judge and certify one recipe. An error on the way becomes the reason of a rejection.

        Args:
            recipe: what to try.
            reference: the float candidate of the same format; for a float recipe that of the first format.
            certify: whether to go on to the certificate when everything before it is well.
        """
        self._progress.start(recipe.id)
        failed = Candidate(recipe=recipe, status="rejected", reason="", limit="failed")
        try:
            artifact = self._make(recipe)
            failed = replace(failed, artifact=artifact, notes=artifact.notes)
            candidate = self._screen(recipe, artifact, reference)
            return self._certify(candidate) if certify and candidate.status == "accepted" else candidate
        except NoEffectError as error:
            return replace(failed, reason=error.message, limit="no_effect")
        except MissingEngineError as error:
            return replace(failed, reason=f"{error.message} {error.hint}".strip())
        except EdgeAIError as error:
            return replace(failed, reason=error.message)

    def _make(self, recipe: Recipe) -> Artifact:
        calibration = self._calibration if recipe.is_calibrated else None
        key = {
            "graph": self._graph.digest,
            "recipe": recipe,
            "calibration": calibration.digest() if calibration else None,
            "training": calibration.training_digest if calibration and recipe.is_trained else None,
            "tools": tool_versions(),
        }
        folder = self._work.step(
            "artifact", key, lambda folder: make_artifact(recipe, self._graph, calibration, folder)
        )
        return read_artifact(folder)

    def _screen(self, recipe: Recipe, artifact: Artifact, reference: Candidate | None) -> Candidate:
        """Measure an artifact over the search split and hold it against every limit but the certificate."""
        against = reference.artifact if reference else None
        folder = self._measure(artifact, against, "search", timing_s=_TIMING_S)
        outputs = read_outputs(folder)
        self._require_parity(recipe, outputs)
        measurement = read_measurement(folder)
        base = reference.relative_latency if reference else None
        relative_latency = (base or 1.0) / measurement.speedup_vs_float
        if recipe.precision == "float32":  # timed against another format's, for comparing formats
            measurement = replace(measurement, speedup_vs_float=1.0, speedup_ci95=(1.0, 1.0))
        screening = self._evidence.certify(outputs, "search") if self._evidence else None
        candidate = Candidate(
            recipe=recipe,
            status="accepted",
            reason="within the budget" if screening else "its accuracy is not known: no data was given",
            artifact=artifact,
            measurement=measurement,
            certificate=screening,
            search_drop=screening.drop if screening else None,
            relative_latency=relative_latency,
            notes=artifact.notes,
        )
        budget = self._spec.budget
        rejection = reject_for_cost(
            precision=recipe.precision, size_bytes=artifact.size_bytes, measurement=measurement, budget=budget
        )
        if screening and rejection is None:
            rejection = reject_on_search_split(screening, budget)
        return self._reject(candidate, rejection) if rejection else candidate

    def _certify(self, candidate: Candidate) -> Candidate:
        """Open the certification split for a candidate and judge it by that."""
        if self._evidence is None or candidate.artifact is None:
            return candidate
        folder = self._measure(candidate.artifact, None, "certification", timing_s=0)
        claim = self._evidence.certify(read_outputs(folder), "certification")
        candidate = replace(candidate, certificate=claim)
        rejection = reject_on_certificate(claim, self._spec.budget)
        return self._reject(candidate, rejection) if rejection else candidate

    def _require_parity(self, recipe: Recipe, outputs: dict[str, NDArray[Any]]) -> None:
        """Refuse an artifact that does not compute what the source computes.

        Of calibrated int8 the scored output is the certificate's business; the others must at least point the same way.
        """
        reference = self._evidence.source_outputs("search") if self._evidence else self._graph.probe_outputs
        if recipe.is_rounded:
            others = {spec.name: reference[spec.name] for spec in self._graph.outputs[1:]}
            require_parity(others, outputs, what=recipe.id, max_rel=float("inf"), min_cosine=_OTHER_OUTPUTS_COSINE)
            return
        allowed = TOLERANCES[recipe.precision]
        require_parity(reference, outputs, what=recipe.id, max_rel=allowed.max_rel, min_cosine=allowed.min_cosine)

    def _reject(self, candidate: Candidate, rejection: Rejection) -> Candidate:
        self.excess[candidate.id] = rejection.excess
        reason = rejection.reason
        if rejection.limit == "slower_than_float" and candidate.recipe.is_calibrated and candidate.notes:
            reason += f"; {candidate.notes[0]}"
        return replace(candidate, status="rejected", reason=reason, limit=rejection.limit)

    def _measure(self, artifact: Artifact, reference: Artifact | None, split: SplitName, *, timing_s: float) -> Path:
        """Run the artifact over a split in its engine, in a child process; return the folder of what was found."""
        probes = (str(self._graph.probes), tuple(range(self._graph.parity.n)))
        data, indices = self._evidence.samples(split) if self._evidence else probes
        job = Job(
            artifact=str(artifact.path),
            reference=str(reference.path) if reference else None,
            format=artifact.format,
            inputs=self._graph.inputs,
            outputs=self._graph.outputs,
            own_inputs=artifact.inputs,
            own_outputs=artifact.outputs,
            data=data,
            preprocessing=self._spec.preprocessing if self._evidence else {},
            indices=indices,
            threads=self._spec.threads,
            duration_s=timing_s,
            seed=self._spec.seed,
        )
        key: dict[str, Any] = {
            "artifact": [digest_of_path(file) for file in artifact.files],
            "reference": [digest_of_path(file) for file in reference.files] if reference else None,
            "data": self._evidence.digest if self._evidence else digest_of_path(self._graph.probes),
            "split": split,
            "threads": self._spec.threads,
            "duration_s": timing_s,
            "machine": describe_machine(),
            "tools": tool_versions(),
        }
        return self._work.step("measure", key, lambda folder: run_job(job, folder))
