"""Narrower networks in a search: widths for a cost, measured before anything is trained, then taught by the source.

One try is: widths that a table of measured layer timings promises to be cheap enough (`prune/widths.py`), cut and
measured as a real artifact, corrected until the measurement says so; of rival plans the one that heals best in a short
training; then the whole training, and every format and precision on the graph that came of it. A deep cut is made in
rounds with short trainings between them (Molchanov et al. 2017, arXiv:1611.06440, figure 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.progress import Progress
from edgeai_converters.prune.groups import find_groups, prunable
from edgeai_converters.prune.latency_measure import measure_latency_table
from edgeai_converters.prune.widths import Choices, propose_widths, uniform_widths
from edgeai_converters.prune.widths_axes import Cost, parameter_cost
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.aim import Aim, cost_of, find_aim, further, is_like, tightened
from edgeai_converters.search.bases import Base, Bases
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.reshape import channel_worth
from edgeai_converters.search.trial import Trial
from edgeai_converters.search.variant import Variant
from edgeai_converters.spec import CompressSpec
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.bench.machine import isa_flags
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import Format, Step

MOST_TRIES = 3
"""Networks that are trained at most."""

MOST_CORRECTIONS = 4
"""How often widths are corrected after a measurement, before anything is trained."""

ROUND = 0.45
"""A cut to less than this share of the cost is made in rounds."""

HEALING_SAMPLES = 4096
"""Samples of a short training: between rounds, and to compare rival widths."""

TryAll = Callable[[Base, Mapping[Format, Candidate]], list[Candidate]]
"""Tries all formats and precisions on a float graph, against the float artifacts of the source."""


class Narrowing:
    """What tries narrower networks.

    Attributes:
        notes: what to tell of it.
    """

    def __init__(
        self,
        spec: CompressSpec,
        bases: Bases,
        trial: Trial,
        evidence: Evidence,
        work: WorkFolder,
        progress: Progress,
    ) -> None:
        self._spec, self._bases, self._trial = spec, bases, trial
        self._evidence, self._work, self._progress = evidence, work, progress
        self._costs: dict[str, Cost] = {}
        self.notes: tuple[str, ...] = ()

    def run(
        self, candidates: Sequence[Candidate], references: Mapping[Format, Candidate], try_all: TryAll
    ) -> list[Candidate]:
        """Return what was tried on narrower networks; nothing when none is needed or none can be made.

        Args:
            candidates: what was made of the whole network.
            references: the float artifacts of the whole network.
            try_all: tries everything on a float graph.
        """
        aim = find_aim(candidates, self._spec.budget, always=self._spec.prune == "always")
        tried: list[Candidate] = []
        for _ in range(MOST_TRIES if aim else 0):
            assert aim is not None
            try:
                base = self._bases.get(self._steps(aim, references[aim.reference.recipe.format]))
                found = try_all(base, references)
            except EdgeAIError as error:
                self.notes = (*self.notes, f"No narrower network could be made: {error.message}")
                break
            tried += found
            next_aim = self._next(aim, found)
            if next_aim is None:
                break
            aim = next_aim
        return tried

    def _next(self, aim: Aim, found: Sequence[Candidate]) -> Aim | None:
        """Return the next aim, seeing what came of the last one; `None` to end."""
        if any(one.status == "accepted" and one.recipe.precision != "float32" for one in found):
            return further(aim) if self._spec.prune == "always" else None
        costs = [cost_of(one, aim) for one in found if is_like(one, aim) and one.limit in ("max_size", "max_latency")]
        return tightened(aim, min(costs)) if costs and min(costs) > aim.ratio else None

    def _steps(self, aim: Aim, reference: Candidate) -> tuple[Step, ...]:
        """Return the steps that make a network of this cost: cuts, with short trainings between them, and a long one.

        Raises:
            EdgeAIError: no channel can be cut, or no widths are that cheap.
        """
        rounds = max(1, math.ceil(math.log(aim.ratio) / math.log(ROUND)))
        steps: tuple[Step, ...] = ()
        for number in range(1, rounds + 1):
            part = Aim(kind=aim.kind, ratio=aim.ratio ** (number / rounds), reference=aim.reference)
            rivals = self._rivals(part, steps, reference)
            steps = (*steps, self._best(rivals, steps))
            if number < rounds:
                steps = (*steps, self._healing())
        return (*steps, Step(op="distill", params=self._training(self._spec.training)))

    def _rivals(self, aim: Aim, before: tuple[Step, ...], reference: Candidate) -> list[Step]:
        """Return cuts of about the same measured cost, made by different plans."""
        base = self._bases.get(before)
        groups = prunable(find_groups(base.graph.model))
        if not groups:
            raise EdgeAIError("no channel of this network can be cut")
        worth = channel_worth(base.graph.model, groups, self._evidence, seed=self._spec.seed)
        cost = self._cost(aim)
        choices = Choices(groups, worth, weigh_by="channels")
        found: list[Step] = []
        for propose in (propose_widths, uniform_widths):
            target = aim.ratio
            for _ in range(MOST_CORRECTIONS):
                plan = propose(choices, cost, targets=(target,))[0]
                step = Step(op="prune", params={"name": f"{aim.name}{plan.origin[0]}", "widths": dict(plan.widths)})
                measured = self._measured(aim, (*before, step), reference)
                if measured is None or measured <= aim.ratio:
                    break
                target *= aim.ratio / measured * 0.98
            if all(step.params["widths"] != other.params["widths"] for other in found):
                found.append(step)
        return found

    def _measured(self, aim: Aim, steps: tuple[Step, ...], reference: Candidate) -> float | None:
        """Return what a cut network really costs in the aim's engine, nothing trained; `None` where that failed."""
        candidate = self._trial.run(self._untrained(aim.reference.recipe).on(steps), reference, certify=False)
        if candidate.measurement is None or candidate.relative_latency is None:
            return None
        return cost_of(candidate, aim)

    def _best(self, rivals: Sequence[Step], before: tuple[Step, ...]) -> Step:
        """Return the rival that does best on the search split after a short training."""
        if len(rivals) == 1:
            return rivals[0]
        return max(rivals, key=lambda step: self._score(self._bases.get((*before, step, self._healing()))))

    def _score(self, base: Base) -> float:
        evidence = self._evidence
        metric, labels = evidence.metric, evidence.splits.search.labels
        score = metric.score(evidence.outputs_of(base.graph, "search"), labels, evidence.source_outputs("search"))
        return score if metric.higher_is_better else -score

    def _cost(self, aim: Aim) -> Cost:
        """Return what tells the cost of widths: timings of layers in the aim's engine, or sizes."""
        recipe = aim.reference.recipe
        key = f"{aim.kind} {recipe.format} {recipe.precision}"
        if key not in self._costs:
            model = self._bases.source.graph.model
            groups = find_groups(model)
            if aim.kind == "size":
                self._costs[key] = parameter_cost(model, groups)
            else:
                self._costs[key] = measure_latency_table(
                    model,
                    groups,
                    format=recipe.format,
                    precision="int8" if recipe.precision == "int8" else "float32",
                    threads=self._spec.threads,
                    work=self._work,
                    seed=self._spec.seed,
                    on_step=lambda done, total, label: self._progress.tell(f"timing layers {done}/{total}"),
                )
        return self._costs[key]

    def _untrained(self, recipe: Recipe) -> Recipe:
        """Return a recipe without what takes long: its artifact costs the same."""
        if not any(step.op in ("train_quantized", "carry_over") for step in recipe.steps):
            return recipe
        variant = Variant(method=self._spec.range_methods[0], excluded=self._spec.exclude)
        return variant.recipe(recipe.format, scheme_for(recipe.format, isa=isa_flags()).name)

    def _healing(self) -> Step:
        """Return a short training."""
        epochs = {"epochs": 1, "samples": HEALING_SAMPLES, "name": "healed"}
        return Step(op="distill", params=self._training(self._spec.training) | epochs)

    def _training(self, training: TrainingSpec) -> dict[str, object]:
        """Return a training as parameters of a step: what differs from the defaults, and what matters most."""
        told = ("epochs", "learning_rate", "seed")
        usual = asdict(TrainingSpec())
        chosen = {name: value for name, value in asdict(training).items() if name in told or value != usual[name]}
        chosen.pop("threads", None)
        return chosen | {"augment": self._spec.augment}
