"""Try recipes: make each artifact, measure it in its engine, judge it, certify it.

Everything made or measured is a step of the work folder. An error on the way becomes the reason of a rejection, so
that one candidate never takes a search down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.evaluate.evidence import Evidence, SplitName
from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import read_measurement, read_outputs, run_job
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.progress import Progress
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_converters.routes import TOLERANCES
from edgeai_converters.search.calibration import order_methods
from edgeai_converters.search.candidate import Candidate, Recipe
from edgeai_converters.search.judge import Rejection, reject_for_cost, reject_on_certificate, reject_on_search_split
from edgeai_converters.search.make import make_artifact, read_artifact
from edgeai_converters.search.recipes import compressed_recipes, float_recipe
from edgeai_converters.spec import CompressSpec, RangeMethod
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of, digest_of_path
from edgeai_runtime.bench.machine import describe_machine, isa_flags
from edgeai_runtime.errors import EdgeAIError, MissingEngineError
from edgeai_runtime.manifest import Certificate, Format

_TIMING_S = 1.0
"""How long a candidate and its float reference are timed together."""


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
        ranges: Ranges | None,
        work: WorkFolder,
        progress: Progress,
    ) -> None:
        self._spec, self._graph, self._evidence = spec, graph, evidence
        self._ranges, self._work, self._progress = ranges, work, progress
        self.excess: dict[str, float] = {}

    def run(self) -> list[Candidate]:
        """Try every recipe and return the candidates, in the order tried."""
        plan = [(format, self._recipes(format)) for format in self._spec.formats]
        self._progress.add(sum(1 + len(recipes) for _, recipes in plan))
        candidates = []
        for format, recipes in plan:
            reference = self._try(float_recipe(format), None)
            candidates.append(reference)
            if reference.artifact is None or reference.measurement is None:
                self._progress.add(-len(recipes))
                continue
            good_enough = False
            for recipe in recipes:
                if recipe.precision == "int8" and good_enough:  # the next range method is for when this one fails
                    self._progress.add(-1)
                    continue
                candidate = self._try(recipe, reference.artifact)
                candidates.append(candidate)
                good_enough |= recipe.precision == "int8" and self._is_good_enough(candidate)
        return candidates

    def _recipes(self, format: Format) -> list[Recipe]:
        methods: Sequence[RangeMethod] = ()
        scheme = scheme_for(format, isa=isa_flags())
        if self._ranges and self._evidence:
            methods = order_methods(self._graph, self._ranges, scheme, self._evidence, self._work)
        return compressed_recipes(self._spec, format, scheme=scheme.name, methods=methods)

    def _is_good_enough(self, candidate: Candidate) -> bool:
        """Whether another range method need not be tried; decided on the search split, or on what ranges leave alone."""
        most = self._spec.budget.max_drop
        if candidate.limit in ("slower_than_float", "max_size", "max_latency", "max_memory"):
            return True
        drop = candidate.search_drop
        return candidate.status == "accepted" and (drop is None or most is None or drop <= most / 2)

    def _try(self, recipe: Recipe, reference: Artifact | None) -> Candidate:
        """Make, measure, judge and certify one recipe. An error on the way becomes the reason of a rejection."""
        self._progress.start(recipe.id)
        failed = Candidate(recipe=recipe, status="rejected", reason="", limit="failed")
        try:
            artifact = self._make(recipe)
            failed = replace(failed, artifact=artifact, notes=artifact.notes)
            return self._judge(recipe, artifact, reference)
        except MissingEngineError as error:
            return replace(failed, reason=f"{error.message} {error.hint}".strip())
        except EdgeAIError as error:
            return replace(failed, reason=error.message)

    def _make(self, recipe: Recipe) -> Artifact:
        ranges = digest_of(self._ranges) if recipe.precision == "int8" else None
        key = {"graph": self._graph.digest, "recipe": recipe, "ranges": ranges, "tools": tool_versions()}
        ranges_used = self._ranges if recipe.precision == "int8" else None
        folder = self._work.step(
            "artifact", key, lambda folder: make_artifact(recipe, self._graph.model, ranges_used, folder)
        )
        return read_artifact(folder)

    def _judge(self, recipe: Recipe, artifact: Artifact, reference: Artifact | None) -> Candidate:
        folder = self._measure(artifact, reference, "search", timing_s=_TIMING_S)
        self._require_parity(recipe, read_outputs(folder))
        candidate = Candidate(
            recipe=recipe,
            status="accepted",
            reason="within the budget",
            artifact=artifact,
            measurement=(measurement := read_measurement(folder)),
            certificate=(screening := self._certificate(folder, "search")),
            search_drop=screening.drop if screening else None,
            notes=artifact.notes,
        )
        budget = self._spec.budget
        rejection = reject_for_cost(
            precision=recipe.precision, size_bytes=artifact.size_bytes, measurement=measurement, budget=budget
        )
        if screening and rejection is None:
            rejection = reject_on_search_split(screening, budget)
        if screening and rejection is None:
            claim = self._certificate(self._measure(artifact, None, "certification", timing_s=0), "certification")
            candidate = replace(candidate, certificate=claim)
            rejection = reject_on_certificate(claim, budget) if claim else None
        return self._reject(candidate, rejection) if rejection else candidate

    def _require_parity(self, recipe: Recipe, outputs: dict[str, NDArray[Any]]) -> None:
        """Refuse an artifact that does not compute what the source computes; calibrated int8 is for the certificate."""
        if recipe.precision == "int8":
            return
        allowed = TOLERANCES[recipe.precision]
        reference = self._evidence.source_outputs("search") if self._evidence else self._graph.probe_outputs
        require_parity(reference, outputs, what=recipe.id, max_rel=allowed.max_rel, min_cosine=allowed.min_cosine)

    def _reject(self, candidate: Candidate, rejection: Rejection) -> Candidate:
        self.excess[candidate.id] = rejection.excess
        return replace(candidate, status="rejected", reason=rejection.reason, limit=rejection.limit)

    def _certificate(self, folder: Path, split: SplitName) -> Certificate | None:
        if self._evidence is None:
            return None
        return self._evidence.certify(read_outputs(folder), split)

    def _measure(self, artifact: Artifact, reference: Artifact | None, split: SplitName, *, timing_s: float) -> Path:
        """Run the artifact over a split in its engine, in a child process; return the folder of what was found."""
        probes = (str(self._graph.probes), tuple(range(self._graph.parity.n)))
        data, indices = self._evidence.samples(split) if self._evidence else probes
        job = Job(
            artifact=str(artifact.path),
            reference=str(reference.path) if reference else None,
            format=artifact.format,
            inputs=self._graph.inputs,
            outputs=tuple(spec.name for spec in self._graph.outputs),
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
            "preprocessing": self._spec.preprocessing,
            "split": split,
            "threads": self._spec.threads,
            "duration_s": timing_s,
            "machine": describe_machine(),
            "tools": tool_versions(),
        }
        return self._work.step("measure", key, lambda folder: run_job(job, folder))
