"""What an exporter returns, and what an export is once it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Made:
    """The files of an export before they are written.

    Attributes:
        files: path below the folder (`/` separators) → its text, or its bytes.
        notes: what a person should know: what is left to do, what was left out.
        facts: figures that a build looks at; plain JSON values.
    """

    files: Mapping[str, str | bytes]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The files that were written, and what was said of them; see `Made`."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
