"""Which runs a benchmark consists of: every artifact, with every delegate, number of threads and batch asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeai.benchmarking.result import Skipped
from edgeai.benchmarking.spec import ALL, BenchSpec
from edgeai_runtime.errors import UsageError

PIPELINE = "pipeline"
"""In place of an engine or format: several models, which may have several."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One run to be.

    Attributes:
        variant: of a bundle; `None` for a bare artifact and for a pipeline.
        engine: that runs its format; `pipeline` when there are several.
        delegate: the one that must be used; `None`: what the runtime chooses.
        label: what tells it from all others, in words.
    """

    path: Path
    variant: str | None
    engine: str
    delegate: str | None
    threads: int
    batch: int
    label: str

    @property
    def artifact(self) -> str:
        """The path; for a variant of a bundle `path#id`."""
        return artifact_name(self.path, self.variant)


def artifact_name(path: Path, variant: str | None) -> str:
    """Return the path; for a variant of a bundle `path#id`."""
    return str(path) if variant is None else f"{path}#{variant}"


def find_targets(spec: BenchSpec) -> tuple[list[Target], list[Skipped]]:
    """Return the runs, in order and without repetition, and what is left out because it is not on this machine.

    Raises:
        UsageError: a file is missing, or nothing is left to measure.
    """
    artifacts = _artifacts(spec)
    several = len(spec.threads) > 1, len(spec.batches) > 1
    targets: list[Target] = []
    left_out: dict[str, str] = {}
    for (path, variant), engine in artifacts.items():
        delegates, absent = _delegates(spec, engine)
        name = artifact_name(path, variant)
        left_out |= absent
        for delegate in delegates:
            for threads in spec.threads:
                for batch in spec.batches:
                    more = [f"{threads} thread{'s'[: threads > 1]}"] if several[0] else []
                    more += [f"batch {batch}"] if several[1] else []
                    where = f"{name} on {delegate}" if delegate else name
                    targets.append(
                        Target(
                            path=path,
                            variant=variant,
                            engine=engine,
                            delegate=delegate,
                            threads=threads,
                            batch=batch,
                            label=", ".join((where, *more)),
                        )
                    )
    skipped = [Skipped(artifact=delegate, reason=reason) for delegate, reason in left_out.items()]
    if not targets:
        wanted = ", ".join((*spec.engines, *spec.delegates))
        reasons = "; ".join(f"{each.artifact}: {each.reason}" for each in skipped)
        raise UsageError(
            f"There is nothing to measure{f' for {wanted}' if wanted else ''}{f': {reasons}' if reasons else '.'}",
            hint="Name a bundle or a model, and delegates of its engine.",
        )
    return targets, skipped


def _artifacts(spec: BenchSpec) -> dict[tuple[Path, str | None], str]:
    """Return each artifact asked for (a bare path, or a bundle's path and a variant) with its engine."""
    from edgeai_runtime.bundle import is_bundle, open_bundle
    from edgeai_runtime.engines.artifact_file import format_of
    from edgeai_runtime.engines.table import FORMAT_ENGINES

    found: dict[tuple[Path, str | None], str] = {}
    for path in spec.paths:
        if not path.exists():
            raise UsageError(f"There is no file {path}.")
        if is_bundle(path) or path.suffix.lower() == ".edge":
            manifest = open_bundle(path).manifest
            if manifest.pipeline is not None:
                found[path, None] = PIPELINE
            for variant in manifest.variants:
                found[path, variant.id] = FORMAT_ENGINES[variant.format]
        else:
            found[path, None] = FORMAT_ENGINES[format_of(path)]
    return {key: engine for key, engine in found.items() if not spec.engines or engine in (*spec.engines, PIPELINE)}


def _delegates(spec: BenchSpec, engine: str) -> tuple[list[str | None], dict[str, str]]:
    """Return the delegates to measure for an engine, and those that are not here, with why.

    What was named is tried even when its probe says that it is absent: the error of the attempt says more.
    """
    if not spec.delegates or engine == PIPELINE:
        return [None], {}
    from edgeai_runtime.delegates.probe import probe
    from edgeai_runtime.delegates.table import DELEGATES

    if spec.delegates != (ALL,):
        return [name for name in spec.delegates if DELEGATES[name].engine == engine], {}
    here: list[str | None] = []
    absent: dict[str, str] = {}
    for name, delegate in DELEGATES.items():
        if delegate.engine != engine:
            continue
        found = probe(name)
        if found.present:
            here.append(name)
        else:
            absent[name] = found.reason
    return here, absent
