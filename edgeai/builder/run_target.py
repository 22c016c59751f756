"""Run the steps of one target: find recipes or replay them, make what is asked for, judge it, sign it, deliver it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeai.builder.build_result import Status, StepOutcome, TargetOutcome
from edgeai.builder.cache import Cache
from edgeai.builder.config import BuildConfig, ModelConfig, TargetConfig
from edgeai.builder.deliver import deliver
from edgeai.builder.differences import differences
from edgeai.builder.digests import Digests
from edgeai.builder.gate_result import GateResult, TargetResult
from edgeai.builder.lock import Lock
from edgeai.builder.make_bundle import bundle_name
from edgeai.builder.make_compress import REPORT, read_found_recipes
from edgeai.builder.make_export import FILES
from edgeai.builder.make_gate import read_target_result, read_verdicts
from edgeai.builder.plan import compress_step, later_steps, preflight_step, search_step
from edgeai.builder.ready import require_tools
from edgeai.builder.schema import COMPILED
from edgeai.builder.steps import NOTES, Making, Step, maker
from edgeai_converters.progress import OnStep
from edgeai_converters.recipe import Recipe
from edgeai_runtime.errors import EdgeAIError

REPORT_NAME = "report.json"
_NEVER = "not made yet"


@dataclass(kw_only=True)
class Run:
    """What the targets of one run share. `refreshed` are digests of steps that `force` made again already."""

    config: BuildConfig
    cache: Cache
    digests: Digests
    lock: Lock
    locked: bool = False
    force: bool = False
    dry_run: bool = False
    on_step: OnStep | None = None
    refreshed: set[str] = field(default_factory=set)


@dataclass(kw_only=True)
class Way:
    """A target on its way: folders of what is made, by name of the step, and what became of each step."""

    run: Run
    model: ModelConfig
    target: TargetConfig
    made: dict[str, Path] = field(default_factory=dict)
    outcomes: list[StepOutcome] = field(default_factory=list)
    error: EdgeAIError | None = None

    @property
    def where(self) -> str:
        return f"{self.model.name}/{self.target.name}"


def look_ahead(run: Run, model: ModelConfig, target: TargetConfig) -> TargetOutcome:
    """Return what would become of a target; nothing is run or written.

    Raises:
        UsageError: a file that the model names is not there.
    """
    way = Way(run=replace(run, dry_run=True), model=model, target=target)
    search = search_step(model, target, root=run.config.root, digests=run.digests)
    _make(way, preflight_step(model, target, search, digests=run.digests))
    return finish_target(way)


def begin_target(run: Run, model: ModelConfig, target: TargetConfig, ahead: TargetOutcome) -> Way:
    """Look for all that would fail a target later, in seconds; what is found is told by `finish_target`.

    Args:
        run: the run.
        model: the model.
        target: the target.
        ahead: what `look_ahead` returned.
    """
    way = Way(run=run, model=model, target=target, error=ahead.error)
    missing = {step.name for step in ahead.steps if step.status == "would run"}
    try:
        if way.error is None:
            if missing:
                require_tools(run.config, model, target, missing)
            search = search_step(model, target, root=run.config.root, digests=run.digests)
            _make(way, preflight_step(model, target, search, digests=run.digests))
    except EdgeAIError as failure:
        way.error = failure
    return way


def finish_target(way: Way) -> TargetOutcome:
    """Run what is not up to date and return what became of the target; a step that fails is told, not raised."""
    run, model, target = way.run, way.model, way.target
    steps: list[Step] = []
    gates: tuple[GateResult, ...] = ()
    error = way.error
    made: TargetResult | None = None
    try:
        if error is not None:
            raise error
        search = search_step(model, target, root=run.config.root, digests=run.digests)
        found, recipes = _find_recipes(way, search)
        compress = compress_step(search, recipes or ())
        steps = [compress, *later_steps(run.config, model, target, compress, digests=run.digests)]
        while steps and recipes is not None:
            _make(way, steps[0], recipes=recipes, found=found)
            step = steps.pop(0)
            if step.kind == "gate" and step.name in way.made:
                gates = _read_gates(way, step)
                if not all(gate.ok for gate in gates):
                    break
        if not run.dry_run and "compress" in way.made:
            made = _deliver(way, whole=not steps and all(gate.ok for gate in gates))
    except EdgeAIError as failure:
        error = failure
        steps = steps[1:] if way.outcomes and way.outcomes[-1].status == "failed" else steps
    left: Status = "would run" if run.dry_run else "skipped"
    rest = [StepOutcome(name=step.name, kind=step.kind, status=left) for step in steps]
    return TargetOutcome(
        model=model.name,
        target=target.name,
        device=target.device.id if target.device else None,
        folder=run.config.output / way.where,
        steps=(*way.outcomes, *rest),
        made=made,
        gates=gates,
        error=error,
    )


def _find_recipes(way: Way, search: Step) -> tuple[Path | None, tuple[Recipe, ...] | None]:
    """Return the folder of the search, if there is one, and the recipes: those locked, or else those found.

    In a dry run the recipes may not be known: `None`.
    """
    run = way.run
    entry = None if run.force else run.lock.find(way.where, search.key)
    if entry is not None:
        ready = run.cache.find(search.kind, search.key)
        same = ready is not None and read_found_recipes(ready) == entry.recipes
        return (ready if same else None), entry.recipes
    if run.locked:
        raise run.lock.refuse(way.where, search.key)
    _make(way, search)
    folder = way.made.pop(search.name, None)
    if folder is None:
        return None, None
    recipes = read_found_recipes(folder)
    if json.loads((folder / REPORT).read_text(encoding="utf-8"))["within_budget"]:
        run.lock.set(way.where, search.key, recipes)
    return folder, recipes


def _make(way: Way, step: Step, *, recipes: Sequence[Recipe] | None = None, found: Path | None = None) -> None:
    """See that a step's result is there; in a dry run, say whether it would be made."""
    run, name = way.run, f"{way.where}:{step.name}"
    ready = run.cache.find(step.kind, step.key)
    again = run.force and step.digest not in run.refreshed
    if ready is not None and not again:
        way.made[step.name] = ready
        run.cache.remember(name, step.key)
        notes = _read_notes(ready)
        way.outcomes.append(StepOutcome(name=step.name, kind=step.kind, status="up to date", notes=notes))
        return
    why = _why(run.cache.last_key(name), step, forced=ready is not None)
    if run.dry_run:
        way.outcomes.append(StepOutcome(name=step.name, kind=step.kind, status="would run", why=why))
        return
    if again:
        run.cache.forget(step.kind, step.key)
        run.refreshed.add(step.digest)
    started = time.monotonic()

    def make(folder: Path) -> None:
        making = Making(
            config=run.config,
            model=way.model,
            target=way.target,
            step=step,
            folder=folder,
            made={need: way.made[need] for need in step.needs},
            recipes=None if recipes is None else tuple(recipes),
            found=found,
            on_step=run.on_step,
        )
        maker(step.kind)(making)

    status: Status = "failed"
    try:
        way.made[step.name] = run.cache.make(step.kind, step.key, make)
        run.cache.remember(name, step.key)
        status = "made"
    finally:
        took = time.monotonic() - started
        notes = _read_notes(way.made.get(step.name))
        way.outcomes.append(
            StepOutcome(name=step.name, kind=step.kind, status=status, why=why, notes=notes, duration_s=took)
        )


def _read_notes(folder: Path | None) -> tuple[str, ...]:
    """Return what a finished step tells."""
    file = None if folder is None else folder / NOTES
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file is not None and file.is_file() else ()


def _why(last: Mapping[str, Any] | None, step: Step, *, forced: bool) -> tuple[str, ...]:
    """Return what changed since a step was last up to date."""
    if forced:
        return ("--force",)
    if last is None:
        return (_NEVER,)
    return tuple(differences(last, step.key)) or ("its result was removed or damaged",)


def _read_gates(way: Way, step: Step) -> tuple[GateResult, ...]:
    """Return the verdicts; those of a broken gate are not kept, so that the next build measures again."""
    verdicts = read_verdicts(way.made[step.name])
    if not all(verdict.ok for verdict in verdicts):
        way.run.cache.forget(step.kind, step.key)
    return verdicts


def _deliver(way: Way, *, whole: bool) -> TargetResult:
    """Copy what was made to the output folder; when a gate broke, only the report of what was found."""
    run, made, model = way.run, way.made, way.model
    files: dict[str, Path] = {}
    if whole and "bundle" in way.target.outputs:
        last = next(name for name in ("sign", "encrypt", "bundle") if name in made)
        files[bundle_name(model.name)] = made[last] / bundle_name(model.name)
    for output in way.target.outputs if whole else ():
        if output != "bundle":
            folder = made[f"{'compile' if output in COMPILED else 'export'}:{output}"] / FILES
            files |= {f"{output}/{name}": file for name, file in _files_in(folder)}
    all_files = {**files, REPORT_NAME: made.get("measure", made["compress"]) / REPORT}
    deliver(run.config.record, way.where, all_files, digests=run.digests, force=run.force)
    folder = run.config.output / way.where
    result = read_target_result(model, way.target, made)
    return replace(result, artifacts=tuple(folder / name for name in files), report=folder / REPORT_NAME)


def _files_in(folder: Path) -> list[tuple[str, Path]]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [(file.relative_to(folder).as_posix(), file) for file in files]
