"""`edgeai.lock`: per target the recipes that the search found, and what they were found for. To be committed.

A build replays recipes whose key matches, and searches otherwise; `--locked` refuses to search. The file is sorted
JSON without times, so that two people who found the same write the same bytes.

    {"schema": 1, "targets": {"digits/pi": {
        "key": "…",                      sha256 of all that follows but the recipes
        "files": {"source": "…", "data": "…"},
        "settings": {…},                 what edgeai.toml says of the search
        "tools": {"edgeai": "0.1.0", …},
        "recipes": [{"format": "tflite", "precision": "int8", "recipe": [{"op": …}]}]}}}
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai.builder.differences import differences
from edgeai_converters.recipe import Recipe, read_recipes
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.atomic import write_atomically
from edgeai_runtime.errors import UsageError

_SCHEMA = 1
_PARTS = ("files", "settings", "tools")


@dataclass(frozen=True, kw_only=True)
class LockEntry:
    """What is locked for one target: the key document it was found for, and the recipes, best first."""

    key: Mapping[str, Any]
    recipes: tuple[Recipe, ...]


class Lock:
    """The lock file, read once, written when something in it changed."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._targets = _read(file)
        self._before = dict(self._targets)

    def find(self, where: str, key: Mapping[str, Any]) -> LockEntry | None:
        """Return the entry of the target `model/target` when it belongs to `key`."""
        found = self._targets.get(where)
        if not isinstance(found, Mapping) or found.get("key") != digest_of(_parts(key)):
            return None
        recipes = read_recipes(found.get("recipes"), where=f"{self.file}: {where}")
        return LockEntry(key=key, recipes=recipes)

    def set(self, where: str, key: Mapping[str, Any], recipes: Sequence[Recipe]) -> None:
        """Note what was found for a target."""
        parts = _parts(key)
        self._targets[where] = {
            "key": digest_of(parts),
            **parts,
            "recipes": [recipe.to_json() for recipe in recipes],
        }

    def keep_only(self, targets: Collection[str]) -> None:
        """Drop entries of targets that the project no longer has."""
        self._targets = {where: entry for where, entry in self._targets.items() if where in targets}

    def save(self) -> bool:
        """Write the file when something changed; return whether it was written."""
        if self._targets == self._before:
            return False
        document = {"schema": _SCHEMA, "targets": self._targets}
        write_atomically(self.file, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
        self._before = dict(self._targets)
        return True

    def refuse(self, where: str, key: Mapping[str, Any]) -> UsageError:
        """Return the error of a locked build whose lock does not match, with what differs."""
        found = self._targets.get(where)
        hint = f"Run `edgeai build` without --locked, and commit {self.file.name}."
        if not isinstance(found, Mapping):
            reason = f"has no entry for {where}" if self.file.exists() else "is not there"
            return UsageError(f"{self.file.name} {reason}, and --locked does not search.", hint=hint)
        told = "; ".join(differences({part: found.get(part, {}) for part in _PARTS}, _parts(key))) or "its key differs"
        return UsageError(f"{self.file.name} does not belong to this build of {where}: {told}.", hint=hint)


def _parts(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a key as JSON reads them back."""
    found: dict[str, Any] = json.loads(json.dumps({part: key[part] for part in _PARTS}))
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        hint = "It is written by `edgeai build`: after a merge conflict take either side, or delete it."
        raise UsageError(f"{file} cannot be read: {error}", hint=hint) from error
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        raise UsageError(f"{file} was not written by this version of edgeai (schema {_SCHEMA}).")
    targets = document.get("targets")
    return dict(targets) if isinstance(targets, dict) else {}
