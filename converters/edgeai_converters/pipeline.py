"""The main job: source → graph → candidates → measured, judged, certified → chosen. The visible list of steps.

Everything that is made or measured is kept in the work folder by content, so that an interrupted job resumes and a
repeated one is quick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.evaluate.evidence import Evidence, SplitName
from edgeai_converters.evaluate.job import Job
from edgeai_converters.evaluate.measure import read_measurement, read_outputs, run_job
from edgeai_converters.float_graph import FloatGraph, make_float_graph
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_converters.routes import TOLERANCES
from edgeai_converters.search.calibration import calibrate, order_methods
from edgeai_converters.search.candidate import Candidate, Recipe
from edgeai_converters.search.choose import (
    best_candidate,
    best_per_format,
    binding_limit,
    nearest_candidate,
    pareto_front,
)
from edgeai_converters.search.judge import Rejection, reject_for_cost, reject_on_certificate, reject_on_search_split
from edgeai_converters.search.make import make_artifact, read_artifact
from edgeai_converters.search.recipes import compressed_recipes, float_recipe
from edgeai_converters.spec import CompressSpec, RangeMethod
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of, digest_of_path
from edgeai_runtime.bench.machine import describe_machine, isa_flags
from edgeai_runtime.errors import EdgeAIError, MissingEngineError, UsageError
from edgeai_runtime.manifest import Certificate, Format, Step, TensorSpec

OnStep = Callable[[int, int, str], None]

_TIMING_S = 1.0
"""How long a candidate and its float reference are timed together."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """What came of a search.

    Attributes:
        spec: what was asked.
        graph: the float graph everything was made from.
        evidence: samples and splits; `None` when no data was given.
        candidates: every recipe tried, in the order tried.
        best: the best accepted candidate, else the one nearest to the budget; `None` only when nothing could be made.
        packed: the candidates for the bundle, best first: the best of each format, or the nearest one.
        pareto: ids of the Pareto front over latency, size and drop.
        binding_limit: the limit that kept every compressed candidate out; `None` when one was accepted.
        within_budget: whether `best` was accepted.
        notes: what a user should know about source, data and result.
        duration_s: time the search took.
        reused: steps found finished in the work folder.
    """

    spec: CompressSpec
    graph: FloatGraph
    evidence: Evidence | None
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    packed: tuple[Candidate, ...]
    pareto: tuple[str, ...]
    binding_limit: str | None
    within_budget: bool
    notes: tuple[str, ...]
    duration_s: float
    reused: int


def compress(
    spec: CompressSpec, work: WorkFolder, *, live_source: object | None = None, on_step: OnStep | None = None
) -> Compression:
    """Search the recipes that `spec` allows and return all of them, judged, with the best ones chosen.

    Args:
        spec: what is wanted.
        work: where finished steps are kept.
        live_source: a live Keras or PyTorch model in place of the file `spec.source`.
        on_step: progress, called with (done, total, label).

    Raises:
        ModelError, DataError: bad input, before anything is searched.
    """
    started = time.monotonic()
    progress = _Progress(on_step)
    progress.start("reading the source")
    source = spec.source if live_source is None else live_source
    graph = make_float_graph(source, work, input_shapes=spec.input_shapes, seed=spec.seed)
    progress.start("reading the data")
    spec = replace(
        spec,
        preprocessing=name_steps(spec.preprocessing, graph.inputs, what="input"),
        postprocessing=name_steps(spec.postprocessing, graph.outputs, what="output"),
    )
    evidence = Evidence(spec, graph, work) if spec.data.is_given else None
    if evidence:
        spec = replace(spec, preprocessing=evidence.preprocessing, labels=spec.labels or evidence.class_names)
    ranges = None
    if evidence and "int8" in spec.precisions:
        progress.start("finding value ranges")
        ranges = calibrate(graph, evidence, spec.range_methods, work)
    search = _Search(spec, graph, evidence, ranges, work, progress)
    candidates, excess = search.run()
    accepted = best_candidate(candidates)
    best = accepted or nearest_candidate(candidates, excess)
    packed = best_per_format(candidates) if accepted else [best] if best else []
    return Compression(
        spec=spec,
        graph=graph,
        evidence=evidence,
        candidates=tuple(candidates),
        best=best,
        packed=tuple(packed),
        pareto=tuple(one.id for one in pareto_front(candidates)),
        binding_limit=binding_limit(candidates),
        within_budget=accepted is not None,
        notes=_notes(graph, evidence, candidates),
        duration_s=time.monotonic() - started,
        reused=work.reused,
    )


def _notes(graph: FloatGraph, evidence: Evidence | None, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    if evidence is None:
        return (*graph.notes, "No data was given: static int8 was not tried and no accuracy is claimed.")
    claims = [candidate.certificate for candidate in candidates if candidate.certificate]
    chance = [note for note in (evidence.chance_note(claim) for claim in claims[:1]) if note]
    return (*graph.notes, *evidence.notes, *chance)


def name_steps(
    steps: Mapping[str, tuple[Step, ...]], specs: Sequence[TensorSpec], *, what: str
) -> dict[str, tuple[Step, ...]]:
    """Return steps by tensor name; those given under the empty name belong to the only tensor.

    Raises:
        UsageError: a name that the model does not have, or no name where there are several tensors.
    """
    names = [spec.name for spec in specs]
    if list(steps) == [""] and len(names) > 1:
        raise UsageError(f"The model has {len(names)} {what}s ({', '.join(names)}): name the one the steps are for.")
    named = {name or names[0]: found for name, found in steps.items()}
    for name in named:
        if name not in names:
            raise UsageError(f"The model has no {what} of that name; it has {', '.join(names)}. Received: {name!r}")
    return named


class _Progress:
    """Counts steps for the callback; the total grows when a search finds more to do."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step
        self.total = 3
        self._done = -1

    def start(self, label: str) -> None:
        self._done += 1
        self.total = max(self.total, self._done + 1)
        if self._on_step:
            self._on_step(self._done, self.total, label)


class _Search:
    """The state of one search: what candidates are made from and where finished work is kept."""

    def __init__(
        self,
        spec: CompressSpec,
        graph: FloatGraph,
        evidence: Evidence | None,
        ranges: Ranges | None,
        work: WorkFolder,
        progress: _Progress,
    ) -> None:
        self._spec, self._graph, self._evidence = spec, graph, evidence
        self._ranges, self._work, self._progress = ranges, work, progress
        self._excess: dict[str, float] = {}

    def run(self) -> tuple[list[Candidate], dict[str, float]]:
        """Try every recipe; return the candidates, and by how much each rejected one misses its limit."""
        plan = [(format, self._recipes(format)) for format in self._spec.formats]
        self._progress.total += sum(1 + len(recipes) for _, recipes in plan)
        candidates = []
        for format, recipes in plan:
            reference = self._try(float_recipe(format), None)
            candidates.append(reference)
            if reference.artifact is None or reference.measurement is None:
                self._progress.total -= len(recipes)
                continue
            good_enough = False
            for recipe in recipes:
                if recipe.precision == "int8" and good_enough:  # the next range method is for when this one fails
                    self._progress.total -= 1
                    continue
                candidate = self._try(recipe, reference.artifact)
                candidates.append(candidate)
                good_enough |= recipe.precision == "int8" and self._is_good_enough(candidate)
        return candidates, self._excess

    def _recipes(self, format: Format) -> list[Recipe]:
        methods: Sequence[RangeMethod] = ()
        scheme = scheme_for(format, isa=isa_flags())
        if self._ranges and self._evidence:
            methods = order_methods(self._graph, self._ranges, scheme, self._evidence, self._work)
        return compressed_recipes(self._spec, format, scheme=scheme.name, methods=methods)

    def _is_good_enough(self, candidate: Candidate) -> bool:
        """Whether another range method need not be tried: accepted, and not merely unproven with a drop over half."""
        claim, most = candidate.certificate, self._spec.budget.max_drop
        if candidate.limit in ("slower_than_float", "max_size", "max_latency", "max_memory"):
            return True  # other ranges change none of these
        return candidate.status == "accepted" and (claim is None or most is None or claim.drop <= most / 2)

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
        self._excess[candidate.id] = rejection.excess
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
