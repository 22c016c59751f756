"""Reading tables of TOML with checks: unknown keys, wrong types, figures without a source; errors name the place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import tomllib

from edgeai_runtime.errors import UsageError

_Word = TypeVar("_Word", bound=str)
_NEEDS_SOURCE = "Every figure needs an entry that says where it comes from."


def read_document(path: Path, *, what: str) -> dict[str, Any]:
    """Read the TOML file `path`; `what` names it in the error.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The {what} {path} cannot be read: {error}") from error


class Table:
    """One table of a document, read key by key; `where` opens every error message."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.content = content
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def check_keys(self, kind: type, *, required: Sequence[str] = ()) -> None:
        """Accept the fields of the dataclass `kind` as keys, no others; `required` ones must be there."""
        self.check_names({each.name for each in fields(kind)}, required=required)

    def check_names(self, allowed: set[str], *, required: Sequence[str] | set[str] = (), hint: str = "") -> None:
        """Raise `UsageError` for a key that is not in `allowed`, with the nearest, or for one that is missing."""
        for key in self.content:
            if key not in allowed:
                close = get_close_matches(key, sorted(allowed), n=1)
                raise UsageError(
                    f"{self.where}: unknown key {key!r}.", hint=f"Did you mean {close[0]}?" if close else ""
                )
        for key in sorted(required):
            if key not in self.content:
                raise UsageError(f"{self.where}: {key!r} is missing.", hint=hint)

    def table(self, key: str) -> Table:
        """Return the table under `key`, empty when there is none."""
        return Table(self._mapping(key), f"{self.where}: {key}")

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return the list of tables under `key` (`[[key]]`)."""
        value = self.content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self._wrong(key, "a list of tables")
        return tuple(Table(each, f"{self.where}: {key}[{index}]") for index, each in enumerate(value))

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        value = self.content.get(key, default)
        if not isinstance(value, str) or not (value.strip() or value == default):
            raise self._wrong(key, "a text")
        return value

    def texts(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.content.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
            raise self._wrong(key, "a list of texts")
        return tuple(value)

    def named_texts(self, key: str) -> dict[str, str]:
        """Return a table of texts."""
        value = self._mapping(key)
        for name, text in value.items():
            if not isinstance(text, str) or not text.strip():
                raise UsageError(f"{self.where}: {key}: {name} must be a text. Received: {text!r}")
        return dict(value)

    def whole(self, key: str) -> int | None:
        """Return a whole number above 0, or `None` when it is not given."""
        value = self.content.get(key)
        if value is not None and (type(value) is not int or value <= 0):
            raise self._wrong(key, "a whole number above 0")
        return value

    def wholes(self, key: str) -> tuple[int, ...]:
        """Return a list of whole numbers above 0."""
        value = self.content.get(key, [])
        if not isinstance(value, list) or not all(type(each) is int and each > 0 for each in value):
            raise self._wrong(key, "a list of whole numbers above 0")
        return tuple(value)

    def number(self, key: str) -> float | None:
        """Return a number above 0, or `None` when it is not given."""
        value = self.content.get(key)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
            raise self._wrong(key, "a number above 0")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false; false when it is not given."""
        value = self.content.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def choice(self, key: str, allowed: Sequence[_Word], default: _Word | None = None) -> _Word:
        """Return one of the words `allowed`."""
        return self._allowed(self.text(key, default), allowed, key)

    def choices(self, key: str, allowed: Sequence[_Word], default: Sequence[_Word] = ()) -> tuple[_Word, ...]:
        """Return a list of the words `allowed`."""
        return tuple(self._allowed(each, allowed, key) for each in self.texts(key, default))

    def check_sources(self, sources: Table, figures: set[str]) -> dict[str, str]:
        """Return `sources` as a plain table when each of `figures` has one, and nothing else has."""
        sources.check_names(figures, required=figures, hint=_NEEDS_SOURCE)
        return self.named_texts("sources")

    def _mapping(self, key: str) -> Mapping[str, Any]:
        value = self.content.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, "a table")
        return value

    def _allowed(self, value: str, allowed: Sequence[_Word], key: str) -> _Word:
        for each in allowed:
            if each == value:
                return each
        close = get_close_matches(value, allowed, n=1)
        hint = f"Did you mean {close[0]}?" if close else ""
        raise UsageError(f"{self.where}: {key} takes {', '.join(allowed)}. Received: {value!r}", hint=hint)

    def _wrong(self, key: str, wanted: str) -> UsageError:
        return UsageError(f"{self.where}: {key} must be {wanted}. Received: {self.content.get(key)!r}")
