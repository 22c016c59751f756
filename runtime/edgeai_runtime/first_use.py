"""The self-check of a delegate before it is used for the first time on a machine.

The golden inputs run on the delegate in a child process, so that a driver that crashes, hangs or ends the process takes
nothing else along. When the outputs are wrong (see `agreement.py`), or the child does not survive, the remedies of
`delegates/remedies.py` are tried in order, each in a child of its own. What came of it is kept (see `verdicts.py`).

Not here: whether a delegate is checked at all (`loading.py` decides that by `selfcheck=`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.cache import cache_folder
from edgeai_runtime.delegates.table import find_delegate
from edgeai_runtime.errors import (
    DataError,
    EdgeAIError,
    EngineError,
    MissingEngineError,
    ModelError,
    PlacementError,
    UsageError,
)
from edgeai_runtime.verdicts import Trial, Verdict, keep_verdict, read_verdict, verdict_key

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.manifest import Variant

#: How long all trials of one delegate may take together, in seconds; some accelerators compile for a minute. Each trial
#: gets half of what is left, the last one all of it, so that one that hangs leaves time for remedies.
LIMIT_VARIABLE = "EDGEAI_SELFCHECK_S"
_LIMIT_S = 240.0
_LEAST_SHARE = 0.05


def known_verdict(bundle: Bundle, variant: Variant, delegate: str, *, options: Mapping[str, str]) -> Verdict | None:
    """Return what an earlier self-check found, or `None` when there was none that still counts."""
    return read_verdict(bundle.digest, _key(bundle, variant, delegate, options)[0])


def check_delegate(
    bundle: Bundle, variant: Variant, delegate: str, *, path: Path, options: Mapping[str, str], threads: int
) -> Verdict:
    """Run the golden inputs on `delegate` in a child process, with remedies where needed, and keep the verdict.

    Args:
        bundle: the open bundle.
        variant: the variant to check.
        delegate: where it is to run.
        path: the bundle's own path, for the child.
        options: what was asked of the engine; remedies are added to it.
        threads: as for `Engine.open`.

    Raises:
        MissingEngineError: the engine is not installed: nothing was checked, nothing is kept.
        PlacementError: the delegate is not here, or no child process can be started; nothing is kept.
        UsageError: the options that were asked for make no sense.
    """
    from edgeai_runtime.delegates.remedies import remedies_for
    from edgeai_runtime.encryption import child_environment
    from edgeai_runtime.isolation import call_in_child

    if not sys.executable:
        raise PlacementError(
            f"{delegate} cannot be checked: this program has no Python executable to start a child process with",
            hint="selfcheck='never' uses it unchecked",
        )
    key, facts = _key(bundle, variant, delegate, options)
    end = time.monotonic() + limit_s()
    trials: list[Trial] = []
    used: Mapping[str, str] = options
    remedies = remedies_for(delegate, options)
    for remedy in remedies:
        left = end - time.monotonic()
        if trials and left < _LEAST_SHARE * limit_s():
            break
        used = {**options, **remedy.options}
        request = {
            "path": str(Path(path).absolute()),
            "digest": bundle.digest,
            "variant": variant.id,
            "delegate": delegate,
            "options": used,
            "threads": threads,
            "environment": child_environment(bundle),
        }
        try:
            found = call_in_child(
                "edgeai_runtime.first_use:run_golden",
                request,
                timeout_s=max(left if remedy is remedies[-1] else left / 2, 1.0),
                what=f"variant {variant.id} on {delegate}",
            )
            trials.append(Trial(remedy=remedy.name, ok=bool(found["ok"]), detail=str(found["detail"])))
        except (MissingEngineError, PlacementError, UsageError) as error:
            if trials:
                continue  # a remedy that this version of the engine does not know
            if isinstance(error, UsageError) and not options:  # it cannot be used without options
                raise PlacementError(error.message, hint=error.hint) from error
            raise
        except (ModelError, EngineError, DataError) as error:
            if isinstance(error.__cause__, OSError):
                raise PlacementError(f"{delegate} cannot be checked: {error.message}") from error
            trials.append(Trial(remedy=remedy.name, ok=False, detail=error.message))
        if trials[-1].ok:
            break
    verdict = Verdict(
        variant=variant.id,
        delegate=delegate,
        **facts,
        ok=trials[-1].ok,
        options=dict(used if trials[-1].ok else options),
        trials=tuple(trials),
    )
    keep_verdict(bundle.digest, key, verdict)
    return verdict


def run_golden(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run in the child: open the variant on the delegate, run the golden inputs, say whether the outputs are right."""
    from edgeai_runtime.bundle import open_bundle
    from edgeai_runtime.engines.table import get_engine
    from edgeai_runtime.isolation import run_on_zeros
    from edgeai_runtime.loading import open_variant
    from edgeai_runtime.model import Model
    from edgeai_runtime.selfcheck import compare_golden

    bundle = open_bundle(Path(request["path"]), digest=request["digest"])
    (variant,) = [one for one in bundle.manifest.variants if one.id == request["variant"]]
    spec = find_delegate(request["delegate"])
    assert spec is not None, "delegates without a spec are skipped before"
    engine, file, threads = get_engine(spec.engine), bundle.artifact(variant), request["threads"]
    session = open_variant(
        lambda more: engine.open(file, delegate=spec.name, threads=threads, options={**request["options"], **more}),
        bundle.manifest,
        variant,
        spec.name,
    )
    if not bundle.manifest.golden:
        run_on_zeros(session, variant.id)
        return {"ok": True, "detail": "it ran; the bundle has no golden samples, so its numbers were not checked"}
    ok, detail = compare_golden(
        bundle, Model(session, variant=variant, bundle=bundle, threads=request["threads"]), delegate=spec.name
    )
    return {"ok": ok, "detail": detail}


def limit_s() -> float:
    """Return how long a self-check may take, in seconds: `$EDGEAI_SELFCHECK_S`, else four minutes.

    Raises:
        UsageError: the variable is not a number above zero.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        limit = float(text or _LIMIT_S)
    except ValueError:
        limit = 0.0
    if limit <= 0:
        raise UsageError(f"{LIMIT_VARIABLE} is a number of seconds. Received: {text!r}")
    return limit


def driver_of(delegate: str) -> str:
    """Return the driver version of `delegate` as its probe tells it, asked once per boot and kept in the cache.

    A probe may take a second; where the system has no name for a boot, it is asked every time.
    """
    from edgeai_runtime.delegates.probe import probe
    from edgeai_runtime.installed import engine_version

    spec = find_delegate(delegate)
    if spec is None or not spec.probe:
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return probe(delegate).driver
    name = hashlib.sha256(f"{boot}{delegate}{engine_version(spec.engine)}".encode()).hexdigest()[:32]
    file = cache_folder() / "drivers" / name
    try:
        return file.read_text()
    except (OSError, ValueError):
        found = probe(delegate)
    if found.present:
        from edgeai_runtime.atomic import write_atomically

        with contextlib.suppress(EdgeAIError):
            write_atomically(file, found.driver.encode())
    return found.driver


def _key(bundle: Bundle, variant: Variant, delegate: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    from edgeai_runtime.installed import engine_version

    spec = find_delegate(delegate)
    assert spec is not None, "delegates without a spec are skipped before"
    facts = {"engine": engine_version(spec.engine), "driver": driver_of(delegate)}
    key = verdict_key(digest=bundle.digest, variant=variant.id, delegate=delegate, options=options, **facts)
    return key, facts
