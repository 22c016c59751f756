"""One trial: make the artifact of a recipe, measure it in its engine, judge it, certify it.

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
from edgeai_converters.facts.table import read_facts
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.progress import Progress
from edgeai_converters.recipe import Recipe
from edgeai_converters.routes import TOLERANCES
from edgeai_converters.search.bases import Base, Bases
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.judge import (
    Rejection,
    reject_for_cost,
    reject_for_device,
    reject_on_certificate,
    reject_on_search_split,
)
from edgeai_converters.search.make import make_artifact, read_artifact
from edgeai_converters.search.steps import NoEffectError
from edgeai_converters.spec import CompressSpec
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of_path
from edgeai_devices.fit import check_fit
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.errors import EdgeAIError, MissingEngineError

_OTHER_OUTPUTS_COSINE = 0.95
"""Least cosine similarity to the float source of int8 outputs that the metric does not score."""

_TIMING_S = 1.0
"""How long a candidate and its float reference are timed together."""


class Trial:
    """What tries single recipes.

    Attributes:
        excess: by how much each rejected candidate misses its limit, by id.
    """

    def __init__(
        self, spec: CompressSpec, bases: Bases, evidence: Evidence | None, work: WorkFolder, progress: Progress
    ) -> None:
        self._spec, self._bases, self._evidence = spec, bases, evidence
        self._work, self._progress = work, progress
        self._graph = bases.source.graph
        self.excess: dict[str, float] = {}

    def run(self, recipe: Recipe, reference: Candidate | None, *, certify: bool = True) -> Candidate:
        """Make, measure, judge and certify one recipe. An error on the way becomes the reason of a rejection.

        Args:
            recipe: what to try.
            reference: the float candidate of the same format; for a float recipe that of the first format.
            certify: whether to go on to the certificate when everything before it is well.
        """
        self._progress.start(recipe.id)
        failed = Candidate(recipe=recipe, status="rejected", reason="", limit="failed")
        try:
            base = self._bases.get(recipe.base)
            artifact = self._make(recipe, base)
            failed = replace(failed, artifact=artifact, notes=artifact.notes)
            candidate = self._screen(recipe, base, artifact, reference)
            return self.certify(candidate) if certify and candidate.status == "accepted" else candidate
        except NoEffectError as error:
            return replace(failed, reason=error.message, limit="no_effect")
        except MissingEngineError as error:
            return replace(failed, reason=f"{error.message} {error.hint}".strip())
        except EdgeAIError as error:
            return replace(failed, reason=error.message)

    def _make(self, recipe: Recipe, base: Base) -> Artifact:
        calibration = base.calibration if recipe.is_calibrated else None
        key = {
            "graph": base.graph.digest,
            "recipe": recipe,
            "calibration": calibration.digest() if calibration else None,
            "training": calibration.training_digest if calibration and recipe.is_trained else None,
            "tools": tool_versions(),
        }
        folder = self._work.step(
            "artifact", key, lambda folder: make_artifact(recipe, base.graph, calibration, folder, notes=base.notes)
        )
        return read_artifact(folder)

    def _screen(self, recipe: Recipe, base: Base, artifact: Artifact, reference: Candidate | None) -> Candidate:
        """Measure an artifact over the search split and hold it against every limit but the certificate.

        What does not fit the device is not measured, but for the float reference, which the others are held against.
        """
        misfit = self._misfit(artifact)
        if misfit is not None and (recipe.precision != "float32" or base.steps):
            unmeasured = Candidate(
                recipe=recipe, status="rejected", reason=misfit.reason, artifact=artifact, notes=artifact.notes
            )
            return self._reject(unmeasured, misfit)
        against = reference.artifact if reference else None
        folder = self._measure(artifact, against, "search", timing_s=_TIMING_S)
        outputs = read_outputs(folder)
        self._require_parity(recipe, base, outputs)
        measurement = read_measurement(folder)
        unit = reference.relative_latency if reference else None
        relative_latency = (unit or 1.0) / measurement.speedup_vs_float
        if recipe.precision == "float32" and not base.steps:  # timed against another format's, for comparing formats
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
        rejection = misfit or reject_for_cost(
            precision=recipe.precision, size_bytes=artifact.size_bytes, measurement=measurement, budget=budget
        )
        if screening and rejection is None:
            rejection = reject_on_search_split(screening, budget)
        return self._reject(candidate, rejection) if rejection else candidate

    def _misfit(self, artifact: Artifact) -> Rejection | None:
        """Hold an artifact against the device that it is for, if any."""
        if self._spec.device is None:
            return None
        return reject_for_device(check_fit(read_facts(artifact.path, artifact.format), self._spec.device))

    def certify(self, candidate: Candidate) -> Candidate:
        """Open the certification split for a candidate and judge it by that."""
        if self._evidence is None or candidate.artifact is None:
            return candidate
        folder = self._measure(candidate.artifact, None, "certification", timing_s=0)
        claim = self._evidence.certify(read_outputs(folder), "certification")
        candidate = replace(candidate, certificate=claim)
        rejection = reject_on_certificate(claim, self._spec.budget)
        return self._reject(candidate, rejection) if rejection else candidate

    def _require_parity(self, recipe: Recipe, base: Base, outputs: dict[str, NDArray[Any]]) -> None:
        """Refuse an artifact that does not compute what its float graph computes.

        Of calibrated int8 the scored output is the certificate's business; the others must at least point the same way.
        """
        graph = base.graph
        reference = self._evidence.outputs_of(graph, "search") if self._evidence else graph.probe_outputs
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
