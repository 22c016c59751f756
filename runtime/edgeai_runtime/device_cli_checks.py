"""The self-checks behind `verify` and `warm`: every variant on every delegate of this machine that may run it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.bundle_verify import Check
from edgeai_runtime.errors import EdgeAIError, MissingEngineError, UsageError
from edgeai_runtime.placement import Attempt, Placement

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.trust import Trust


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What came of it; `ok`: every variant that can be run here gives the right numbers on some delegate."""

    ok: bool
    checks: tuple[Check, ...]


def check_delegates(
    path: Path,
    *,
    placement: Placement | None = None,
    threads: int | None = None,
    retry: bool = False,
    trust: Trust | None = None,
) -> Checked:
    """Run the self-check of every variant on its delegates, in child processes, and keep the verdicts.

    The stages of a pipeline are checked one by one.

    Args:
        path: of the bundle.
        placement: which delegates; by default those that the bundle names.
        threads: as for `load`.
        retry: what failed before is tried again; what was good before is not run again either way.
        trust: as for `load`.

    Raises:
        BundleError: the bundle is incomplete or damaged, or not what `trust` demands.
    """
    from edgeai_runtime.delegates.choose import check_placement, order_delegates
    from edgeai_runtime.loading import Loader
    from edgeai_runtime.verdicts import forget_verdicts

    asked = placement or Placement()
    check_placement(asked)
    loader = Loader(path, asked, threads, None, "always", None, trust)
    if loader.bundle is None:
        raise UsageError(f"{path} is a bare artifact: it has no golden samples", hint="give a bundle")
    if loader.bundle.manifest.pipeline is not None:
        from edgeai_runtime.trust import Trust

        found = [
            (name, check_delegates(folder, placement=placement, threads=threads, retry=retry, trust=Trust()))
            for name, folder in stage_folders(loader.bundle)
        ]
        named = tuple(dataclasses.replace(c, name=f"{name}: {c.name}") for name, one in found for c in one.checks)
        return Checked(ok=all(one.ok for _, one in found), checks=named)
    if retry:
        forget_verdicts(loader.bundle.digest)
    ordered, skipped = order_delegates(loader.candidates(), asked)
    checks = [Check(name=f"golden on {one.delegate}", ok=True, detail=f"not run: {one.reason}") for one in skipped]
    good: dict[str, bool] = {}
    for choice, delegate in ordered:
        name = f"golden {choice} on {delegate}"
        tried: list[Attempt] = []
        try:
            _, used = loader.check(choice, delegate, tried)
        except MissingEngineError as error:
            checks.append(Check(name=name, ok=True, detail=f"not run here: {error.message}"))
            continue
        except EdgeAIError as error:
            good.setdefault(str(choice), False)
            checks.append(Check(name=name, ok=False, detail=error.message))
            continue
        good[str(choice)] = True
        checks.append(Check(name=name, ok=True, detail=_detail(used, tried)))
    return Checked(ok=all(good.values()), checks=tuple(checks))


def quarantine_list(path: Path) -> list[dict[str, str]]:
    """Return what is in quarantine for a bundle: variant, delegate, since, driver, reason."""
    from edgeai_runtime.bundle import open_bundle
    from edgeai_runtime.verdicts import quarantined

    bundle = open_bundle(path)
    return [one for _, folder in stage_folders(bundle) for one in quarantine_list(folder)] + [
        {
            "variant": one.variant,
            "delegate": one.delegate,
            "since": one.checked_at,
            "engine": one.engine,
            "driver": one.driver,
            "reason": one.trials[0].detail,
        }
        for one in quarantined(bundle.digest)
    ]


def stage_folders(bundle: Bundle) -> list[tuple[str, Path]]:
    """Return the stages of a pipeline, which are bundles of their own, by name; none where there is no pipeline."""
    from edgeai_runtime.manifest_checks import stage_folder

    pipeline = bundle.manifest.pipeline
    return [(s.name, bundle.root / stage_folder(s)) for s in pipeline.stages] if pipeline is not None else []


def attempts_document(attempts: tuple[Attempt, ...]) -> list[dict[str, Any]]:
    """Return attempts as the JSON documents of the command line show them."""
    return [
        {
            "delegate": one.delegate,
            "variant": one.variant or None,
            "outcome": one.outcome,
            "remedy": one.remedy or None,
            "reason": one.reason,
        }
        for one in attempts
    ]


def _detail(used: Attempt, tried: list[Attempt]) -> str:
    text = used.reason.partition(": ")[2] or used.reason
    return f"with the remedy {used.remedy!r}: {text}; before: {tried[0].reason}" if used.remedy else text
