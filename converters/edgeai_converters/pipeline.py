"""The main job: source → graph → candidates → measured, judged, certified → chosen. The visible list of steps.

Everything that is made or measured is kept in the work folder by content, so that an interrupted job resumes and a
repeated one is quick.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.float_graph import FloatGraph, make_float_graph
from edgeai_converters.folding import fold_steps
from edgeai_converters.graph.shapes import batch_shapes
from edgeai_converters.progress import OnStep, Progress
from edgeai_converters.search.bases import Base
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.choose import (
    best_candidate,
    best_per_format,
    binding_limit,
    nearest_candidate,
    pareto_front,
)
from edgeai_converters.search.trials import Trials
from edgeai_converters.spec import CompressSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_devices.fit_request import wants_fixed_batch
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step, TensorSpec


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
        bases: the float graphs that were made; the first is the source's.
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
    bases: tuple[Base, ...]
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
    progress = Progress(on_step, total=2)
    progress.start("reading the source")
    source = spec.source if live_source is None else live_source
    graph = make_float_graph(source, work, input_shapes=spec.input_shapes, seed=spec.seed)
    if spec.device is not None and wants_fixed_batch(spec.device) and (fixed := batch_shapes(graph.model, 1)):
        shapes = {**fixed, **spec.input_shapes}
        graph = make_float_graph(source, work, input_shapes=shapes, seed=spec.seed)
    progress.start("reading the data")
    spec = replace(
        spec,
        preprocessing=name_steps(spec.preprocessing, graph.inputs, what="input"),
        postprocessing=name_steps(spec.postprocessing, graph.outputs, what="output"),
    )
    folded: tuple[str, ...] = ()
    if spec.fold_preprocessing and spec.preprocessing:
        graph, steps, note = fold_steps(graph, spec.preprocessing, work, seed=spec.seed)
        spec, folded = replace(spec, preprocessing=dict(steps)), (note,)
    evidence = Evidence(spec, graph, work) if spec.data.is_given else None
    if evidence:
        spec = replace(spec, preprocessing=evidence.preprocessing, labels=spec.labels or evidence.class_names)
    trials = Trials(spec, graph, evidence, work, progress)
    candidates = trials.run()
    accepted = best_candidate(candidates)
    best = accepted or nearest_candidate(candidates, trials.excess)
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
        bases=tuple(trials.bases),
        notes=(*folded, *_notes(graph, evidence, candidates), *trials.notes),
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
