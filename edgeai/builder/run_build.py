"""Run a build: target by target, step by step, each only when what it depends on has changed.

A target whose step fails or whose gate breaks does not stop the others. An interruption loses no finished step, and a
killed search goes on where it was: its own steps are kept in `.edgeai/work`.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Sequence

from edgeai.builder.build_result import BuildResult, TargetOutcome
from edgeai.builder.cache import Cache
from edgeai.builder.config import BuildConfig, ModelConfig, TargetConfig
from edgeai.builder.deliver import remove_other_targets
from edgeai.builder.digests import Digests
from edgeai.builder.inputs import input_files
from edgeai.builder.lock import Lock
from edgeai.builder.one_at_a_time import one_at_a_time
from edgeai.builder.ready import require_folders
from edgeai.builder.run_target import Run, begin_target, finish_target, look_ahead
from edgeai.builder.secrets_read import read_secret
from edgeai_converters.progress import OnStep
from edgeai_runtime.errors import OutputError, UsageError

_LOG = logging.getLogger(__name__)


def run_build(
    config: BuildConfig,
    *,
    only: str | None = None,
    locked: bool = False,
    force: bool = False,
    dry_run: bool = False,
    on_step: OnStep | None = None,
) -> BuildResult:
    """Build what a configuration asks for and return what became of each target.

    Args:
        config: what is wanted.
        only: `model` or `model/target`: no other is built.
        locked: replay `edgeai.lock`; never search, never write it.
        force: make every step again, searches and measurements too, and replace files of others in the output folder.
        dry_run: run nothing and write nothing; say what would be run.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError: `only` names nothing; a file or key that is not there.
        OutputError: something is to be made, and cannot be written. Told of the target that it concerns, and not
            raised: a step that fails, and a lock that does not match.

    Example:
        >>> from edgeai.builder.config_read import read_config
        >>> result = run_build(read_config(Path("edgeai.toml")), locked=True)  # doctest: +SKIP
        >>> result.ok  # doctest: +SKIP
    """
    chosen = choose_targets(config, only)
    if force and locked:
        raise UsageError("--force makes searches again, and --locked forbids them.")
    _check_files(config, chosen)
    if not dry_run:  # told before hours of work, not after
        for key in (config.sign_key, config.encrypt_key):
            if key is not None:
                read_secret(key, config.root)
    started = time.monotonic()
    with contextlib.nullcontext() if dry_run else one_at_a_time(config.state, on_step=on_step):
        run = _start(config, locked=locked, force=force, dry_run=dry_run, on_step=on_step)
        outcomes, written = _run_targets(run, chosen)
    return BuildResult(
        file=config.file,
        name=config.name,
        version=config.version,
        targets=outcomes,
        lock_written=written,
        duration_s=time.monotonic() - started,
    )


def _start(config: BuildConfig, *, locked: bool, force: bool, dry_run: bool, on_step: OnStep | None) -> Run:
    """Open cache, digests and lock: what another build wrote until now is in them."""
    if force and not dry_run:
        shutil.rmtree(config.state / "work", ignore_errors=True)
    return Run(
        config=config,
        cache=Cache(config.state / "build"),
        digests=Digests(config.state / "digests.json"),
        lock=Lock(config.lock),
        locked=locked,
        force=force,
        dry_run=dry_run,
        on_step=on_step,
    )


def _run_targets(
    run: Run, chosen: Sequence[tuple[ModelConfig, TargetConfig]]
) -> tuple[tuple[TargetOutcome, ...], bool]:
    """Run targets and keep what is known of them; return what became of each, and whether the lock was written."""
    config, dry_run = run.config, run.dry_run
    targets = {f"{model.name}/{target.name}" for model in config.models for target in model.targets}
    written = False
    try:
        with contextlib.chdir(config.root):  # functions and files of steps are looked for there
            outcomes = _run_all(run, chosen)
        if not dry_run:
            remove_other_targets(config.record, targets, digests=run.digests)
    finally:
        if not dry_run:
            for notes in (run.cache, run.digests):
                with contextlib.suppress(OutputError):  # without them the next build reads and asks once more
                    notes.save()
            if not run.locked:
                run.lock.keep_only(targets)
                written = run.lock.save()
    return outcomes, written


def _run_all(run: Run, chosen: Sequence[tuple[ModelConfig, TargetConfig]]) -> tuple[TargetOutcome, ...]:
    """Run targets one after the other, and before the first of them what tells in seconds that one cannot be made.

    Raises:
        OutputError: something is to be made, and cannot be written.
    """
    ahead = [look_ahead(run, model, target) for model, target in chosen]
    if run.dry_run:
        return tuple(ahead)
    missing = {step.name for outcome in ahead for step in outcome.steps if step.status == "would run"}
    if missing:
        require_folders(run.config, searches="search" in missing)
    begun = [begin_target(run, *each, outcome) for each, outcome in zip(chosen, ahead, strict=True)]
    for way in begun:
        if way.error is not None and len(begun) > 1:
            _LOG.warning("%s cannot be made, the others are: %s", way.where, way.error.message)
    return tuple(finish_target(way) for way in begun)


def _check_files(config: BuildConfig, chosen: Sequence[tuple[ModelConfig, TargetConfig]]) -> None:
    """Refuse what is missing or in the way now, for all targets, and not after hours of work for the first one."""
    file = config.file.name
    if config.output.exists() and not config.output.is_dir():
        raise UsageError(f"{file}: project.output must be a folder; {config.output} is a file.")
    for model in {model.name: model for model, _ in chosen}.values():
        try:
            input_files(model, config.root)
        except UsageError as error:
            raise UsageError(f"{file}: {error.message}", hint=error.hint) from error
    for model, target in chosen:
        release = target.gates.not_slower_than
        if release is not None and not release.exists():
            where = f"models.{model.name}.targets.{target.name}.gates.not_slower_than"
            raise UsageError(f"{file}: {where}: there is no file {release}.")


def choose_targets(config: BuildConfig, only: str | None) -> list[tuple[ModelConfig, TargetConfig]]:
    """Return models with their targets, all of them or those that `only` names.

    Raises:
        UsageError: there is nothing of that name; the nearest is offered.
    """
    from edgeai.cli.options import nearest

    found = [(model, target) for model in config.models for target in model.targets]
    if only is None:
        return found
    names = [name for model, target in found for name in (model.name, f"{model.name}/{target.name}")]
    if only not in names:
        raise UsageError(f"{config.file.name} has no model or target {only!r}.", hint=nearest(only, names))
    return [(model, target) for model, target in found if only in (model.name, f"{model.name}/{target.name}")]
