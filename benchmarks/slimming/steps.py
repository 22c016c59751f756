"""Steps that are kept: each tells how long it took, those before an interruption counted in."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeai_converters.progress import OnStep
from edgeai_converters.workfolder import WorkFolder, folder_of

_RESULT = "result.json"
_SECONDS_BETWEEN_WORDS = 20.0


@dataclass(kw_only=True)
class Steps:
    """The steps of one case.

    Attributes:
        work: where they are kept.
        seconds: what each took, by its name, in order; also those found finished, from when they were made.
    """

    work: WorkFolder
    seconds: dict[str, float] = field(default_factory=dict)

    def step(
        self, name: str, key: Mapping[str, Any], make: Callable[[Path], dict[str, Any]]
    ) -> tuple[Path, dict[str, Any]]:
        """Return the folder of a step and what it found; `make(folder)` runs only when that is not there yet."""
        asked: dict[str, Any] = dict(key)
        clock = folder_of(self.work.root, f".clock-{name}", asked)

        def run(folder: Path) -> None:
            print(f"   {name} …", file=sys.stderr, flush=True)
            before = float(clock.read_text()) if clock.is_file() else 0.0
            started = time.monotonic()
            try:
                found = make(folder)
            except BaseException:
                clock.write_text(str(before + time.monotonic() - started))
                raise
            found = {**found, "seconds": before + time.monotonic() - started}
            (folder / _RESULT).write_text(json.dumps(found, indent=1), encoding="utf-8")
            clock.unlink(missing_ok=True)

        folder = self.work.step(name, asked, run)
        found: dict[str, Any] = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        self.seconds[name] = found["seconds"]
        print(f"   {name}: {found['seconds']:.0f} s", file=sys.stderr, flush=True)
        return folder, found


def tell(name: str) -> OnStep:
    """Return a progress callback that says now and then on stderr how far `name` is."""
    last = [time.monotonic()]

    def on_step(done: int, total: int, label: str) -> None:
        if time.monotonic() - last[0] > _SECONDS_BETWEEN_WORDS:
            last[0] = time.monotonic()
            print(f"     {name}: {done} of {total}, {label}", file=sys.stderr, flush=True)

    return on_step
