"""What self-checks found on this machine, kept in the cache: one small file per verdict.

A verdict belongs to the bundle's digest, the variant, the engine's version, the delegate, its driver, its options, the
processor's instruction set and this runtime's version; when any of them changes, the delegate is checked again. A bad
verdict is quarantine: the delegate is skipped until something of that changes or the verdict is cleared. Files appear
by an atomic rename, so several processes can check the same delegate at once: the last one's verdict stays. A file that
cannot be read counts as none.

    <cache>/verdicts/<bundle digest>/<key>.good.json     <key>.bad.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeai_runtime.cache import verdict_folder
from edgeai_runtime.engines.captured_log import say_debug
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.record import dataclass, field

RETRY_HINT = "python -m edgeai_runtime verify BUNDLE --retry"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One try in a child process: with which remedy (empty: as asked), whether the numbers were right, and details."""

    remedy: str
    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the self-check of a delegate found.

    Attributes:
        ok: one of the trials gave the right numbers; the last one.
        options: the engine options of that trial; those of the first one when none did.
        trials: in order, at least one.
        checked_at: when, as `2026-01-31 12:00` (UTC).
    """

    variant: str
    delegate: str
    engine: str
    driver: str
    ok: bool
    options: Mapping[str, str]
    trials: tuple[Trial, ...]
    checked_at: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M", time.gmtime()))

    @property
    def remedy(self) -> str:
        """The remedy that helped; empty when none was needed, or none did."""
        return self.trials[-1].remedy if self.ok else ""

    def quarantine(self) -> str:
        """Return why the delegate is not used, as a reason in a report."""
        return (
            f"in quarantine since {self.checked_at} UTC: its self-check failed: {self.trials[0].detail} "
            f"({RETRY_HINT} tries again)"
        )


def verdict_key(
    *, digest: str, variant: str, delegate: str, engine: str, driver: str, options: Mapping[str, str]
) -> str:
    """Return the name under which a verdict is kept: a hash of everything that it depends on."""
    import platform

    from edgeai_runtime import __version__
    from edgeai_runtime.bench.machine import isa_flags

    machine = [platform.machine(), isa_flags()]
    facts = [digest, variant, delegate, engine, driver, sorted(options.items()), machine, __version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def any_quarantined(digest: str) -> bool:
    """Say whether any delegate is in quarantine for the bundle; costs one listing of a folder."""
    return next(_files(digest, "*.bad.json"), None) is not None


def read_verdict(digest: str, key: str) -> Verdict | None:
    """Return the verdict kept under `key`, if there is one."""
    folder = verdict_folder(digest)
    for kind in ("bad", "good"):
        verdict = _read(folder / f"{key}.{kind}.json")
        if verdict is not None:
            return verdict
    return None


def keep_verdict(digest: str, key: str, verdict: Verdict) -> None:
    """Keep `verdict` instead of what was known; on a device that cannot be written to, it is forgotten."""
    import dataclasses

    from edgeai_runtime.atomic import write_atomically

    folder = verdict_folder(digest)
    now, before = ("good", "bad") if verdict.ok else ("bad", "good")
    try:
        write_atomically(folder / f"{key}.{now}.json", json.dumps(dataclasses.asdict(verdict)).encode())
        (folder / f"{key}.{before}.json").unlink(missing_ok=True)
    except (EdgeAIError, OSError) as error:
        say_debug(__name__, f"verdict not kept: {error}")


def quarantined(digest: str) -> list[Verdict]:
    """Return every bad verdict on the bundle, of whatever engine version, driver or options."""
    return [verdict for path in _files(digest, "*.bad.json") if (verdict := _read(path)) is not None]


def forget_verdicts(digest: str, *, only_bad: bool = True) -> int:
    """Delete the bad verdicts on the bundle (or all), so that the next use checks again; return how many there were."""
    paths = list(_files(digest, "*.bad.json" if only_bad else "*.json"))
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
    return len(paths)


def _files(digest: str, pattern: str) -> Iterator[Path]:
    try:
        yield from sorted(verdict_folder(digest).glob(pattern))
    except OSError:
        return


def _read(path: Path) -> Verdict | None:
    try:
        document: Any = json.loads(path.read_bytes())
        trials = tuple(Trial(**trial) for trial in document.pop("trials"))
        return Verdict(**document, trials=trials) if trials else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
