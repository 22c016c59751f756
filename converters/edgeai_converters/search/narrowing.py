"""Narrower networks in a search: widths for a cost, measured before anything is trained, then taught by the source.

One try is: rival ways to the cost aimed at (`rivals.py`), which tables of measured layer timings promise to be cheap
enough, cut and measured as real artifacts, corrected until the measurement says so; the one that heals best in a short
training; then the whole training, and every format and precision on the graph that came of it. A deep cut is made in
rounds with short trainings between them (Molchanov et al. 2017, arXiv:1611.06440, figure 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import onnx_ir as ir

from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.progress import Progress
from edgeai_converters.prune.groups import find_groups
from edgeai_converters.prune.latency_measure import measure_latency_table
from edgeai_converters.prune.latency_table import LatencyTable
from edgeai_converters.prune.layer_timing import BUDGET_S
from edgeai_converters.prune.widths_axes import Cost, Widths, parameter_cost
from edgeai_converters.quantize.schemes import scheme_for
from edgeai_converters.recipe import Recipe
from edgeai_converters.search.aim import Aim, between, cost_of, find_aim, is_like, tightened
from edgeai_converters.search.bases import Base, Bases
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.search.rivals import Way, depth_ways, low_rank_way, width_ways
from edgeai_converters.search.trial import Trial
from edgeai_converters.search.variant import Variant
from edgeai_converters.spec import CompressSpec
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_devices.fit_request import width_multiple
from edgeai_runtime.bench.machine import isa_flags
from edgeai_runtime.errors import EdgeAIError, ModelError
from edgeai_runtime.manifest import Format, Step

MOST_TRIES = 3
"""Networks that are trained at most."""

MOST_CORRECTIONS = 4
"""How often widths are corrected after a measurement, before anything is trained."""

ROUND = 0.45
"""A cut to less than this share of the cost is made in rounds."""

CORRECTION = 0.98
"""A correction aims a little lower than the measurement says: it is one of few."""

TOO_DEAR = 1.1
"""A rival that costs more than this times what is aimed at is out, unless there is no other."""

TABLE_S = BUDGET_S
"""How long the layers of a table are timed."""

HEALING_SAMPLES = 8192
"""Samples of a short training: between rounds, and to compare rival widths."""

TryAll = Callable[[Base, Mapping[Format, Candidate]], list[Candidate]]
"""Tries all formats and precisions on a float graph, against the float artifacts of the source."""


@dataclass(frozen=True, kw_only=True)
class OtherCost:
    """What widths of a network cost, as a share of what another one costs.

    Attributes:
        predict: widths → cost.
        whole: cost of the other one, in the same unit.
    """

    predict: Callable[[Widths], float]
    whole: float

    def predict_ratio(self, widths: Widths) -> float:
        """Return the share."""
        return self.predict(widths) / max(self.whole, 1e-9)


def _is_accepted(found: Sequence[Candidate]) -> bool:
    return any(one.status == "accepted" and one.recipe.precision != "float32" for one in found)


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
        always = self._spec.prune == "always"
        aim = find_aim(candidates, self._spec.budget, always=always)
        is_free = always and any(one.status == "accepted" for one in candidates)
        reached, missed = 1.0, None
        tried: list[Candidate] = []
        for _ in range(MOST_TRIES):
            if aim is None:
                break
            try:
                base = self._bases.get(self._steps(aim, references[aim.reference.recipe.format]))
                found = try_all(base, references)
            except EdgeAIError as error:
                self.notes = (*self.notes, f"No narrower network could be made: {error.message}")
                break
            tried += found
            if not is_free:
                aim = self._next(aim, found)
                continue
            if _is_accepted(found):
                reached = min(reached, aim.ratio)
            else:
                missed = max(missed or 0.0, aim.ratio)
            aim = between(aim, reached=reached, missed=missed)
        return tried

    def _next(self, aim: Aim, found: Sequence[Candidate]) -> Aim | None:
        """Return the next aim on the way to the limits, seeing what came of the last one; `None` to end.

        A network that is still too dear and has lost too much already is the end: a narrower one would lose more.
        """
        most = self._spec.budget.max_drop
        dear = [one for one in found if is_like(one, aim) and one.limit in ("max_size", "max_latency")]
        lost = [one.certificate.drop_ci95[0] for one in dear if one.certificate]
        if _is_accepted(found) or not dear or (most is not None and any(low > most for low in lost)):
            return None
        cost = min(cost_of(one, aim) for one in dear)
        return tightened(aim, cost) if cost > aim.ratio else None

    def _steps(self, aim: Aim, reference: Candidate) -> tuple[Step, ...]:
        """Return the steps that make a network of this cost: cuts, with short trainings between them, and a long one.

        Raises:
            EdgeAIError: nothing can be cut, or not so far.
        """
        rounds = max(1, math.ceil(math.log(aim.ratio) / math.log(ROUND)))
        steps: tuple[Step, ...] = ()
        for number in range(1, rounds + 1):
            part = replace(aim, ratio=aim.ratio ** (number / rounds))
            rivals = self._rivals(part, steps, reference, only_widths=rounds > 1)
            steps = (*steps, *self._best(rivals, steps))
            if number < rounds:
                steps = (*steps, self._healing())
        return (*steps, Step(op="distill", params=self._training(self._spec.training)))

    def _rivals(
        self, aim: Aim, before: tuple[Step, ...], reference: Candidate, *, only_widths: bool
    ) -> list[tuple[Step, ...]]:
        """Return ways to about the same measured cost.

        Raises:
            EdgeAIError: there is none.
        """
        model, seed = self._bases.get(before).graph.model, self._spec.seed
        device = self._spec.device if aim.kind == "latency" else None  # a smaller file needs no round widths
        multiple = width_multiple(device, aim.reference.recipe.precision) if device is not None else 1
        ways = width_ways(model, self._evidence, self._cost(aim), name=aim.name, seed=seed, multiple_of=multiple)
        if not only_widths:
            ways += depth_ways(
                model,
                self._evidence,
                lambda left: self._cost_of_other(aim, left),
                name=aim.name,
                seed=seed,
                multiple_of=multiple,
            )
        if not only_widths and aim.kind == "size":
            ways += low_rank_way(model, self._evidence, name=aim.name)
        corrected = [self._corrected(way, aim, before, reference) for way in ways]
        found: list[tuple[Step, ...]] = []
        for steps, cost in sorted((one for one in corrected if one), key=lambda one: one[1]):
            if not found or (cost <= aim.ratio * TOO_DEAR and steps not in found):
                found.append(steps)
        if not found:
            raise ModelError("Nothing of this network can be cut so far.")
        return found

    def _corrected(
        self, way: Way, aim: Aim, before: tuple[Step, ...], reference: Candidate
    ) -> tuple[tuple[Step, ...], float] | None:
        """Return a way's steps, corrected by measuring real artifacts, with their cost; `None` where there are none."""
        target, best = aim.ratio, None
        for _ in range(MOST_CORRECTIONS):
            steps = way(target)
            cost = self._measured(aim, (*before, *steps), reference) if steps else None
            if cost is None:
                break
            if best is None or cost < best[1]:
                best = (steps, cost)
            if cost <= aim.ratio:
                break
            target *= aim.ratio / cost * CORRECTION
        return best

    def _measured(self, aim: Aim, steps: tuple[Step, ...], reference: Candidate) -> float | None:
        """Return what a cut network really costs in the aim's engine, nothing fitted; `None` where that failed."""
        bare = tuple(
            Step(op=step.op, params={**step.params, "reconstruct": False}) if step.op == "prune" else step
            for step in steps
        )
        candidate = self._trial.run(self._untrained(aim.reference.recipe).on(bare), reference, certify=False)
        if candidate.measurement is None or candidate.relative_latency is None:
            return None
        return cost_of(candidate, aim)

    def _best(self, rivals: Sequence[tuple[Step, ...]], before: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return the rival that does best on the search split after a short training."""
        if len(rivals) == 1:
            return rivals[0]
        return max(rivals, key=lambda steps: self._score(self._bases.get((*before, *steps, self._healing()))))

    def _score(self, base: Base) -> float:
        evidence = self._evidence
        metric, labels = evidence.metric, evidence.splits.search.labels
        score = metric.score(evidence.outputs_of(base.graph, "search"), labels, evidence.source_outputs("search"))
        return score if metric.higher_is_better else -score

    def _cost(self, aim: Aim) -> Cost:
        """Return what tells the cost of widths of the whole network."""
        model = self._bases.source.graph.model
        return parameter_cost(model, find_groups(model)) if aim.kind == "size" else self._table(aim, model)

    def _cost_of_other(self, aim: Aim, model: ir.Model) -> Cost:
        """Return what tells the cost of widths of a network made from the whole one, as a share of the whole one's."""
        source = self._bases.source.graph.model
        if aim.kind == "size":
            size = parameter_cost(model, find_groups(model))
            return OtherCost(predict=size.predict, whole=parameter_cost(source, ()).predict({}))
        return OtherCost(predict=self._table(aim, model).predict_ms, whole=self._table(aim, source).predict_ms({}))

    def _table(self, aim: Aim, model: ir.Model) -> LatencyTable:
        """Return the timings of a network's layers in the aim's engine."""
        recipe = aim.reference.recipe
        return measure_latency_table(
            model,
            find_groups(model),
            format=recipe.format,
            precision="int8" if recipe.precision == "int8" else "float32",
            threads=self._spec.threads,
            work=self._work,
            seed=self._spec.seed,
            budget_s=TABLE_S,
            on_step=lambda done, total, label: self._progress.tell(f"timing layers {done}/{total}"),
        )

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
