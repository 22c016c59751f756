"""Where in a TOML file a key stands: parsers of TOML keep no line numbers, and who is told of a limit wants to see it.

Headers (`[models.digits]`) and keys at the begin of a line are seen, quoted names and dotted keys too. What is written
otherwise (inline tables) is found by its table, or not at all; lines within multi-line texts may be taken for keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PART = r'(?:"[^"]*"|\'[^\']*\'|[A-Za-z0-9_-]+)'
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\s*({_NAME})\s*\]")
_KEY = re.compile(rf"\s*({_NAME})\s*=")


def find_line(text: str, path: Sequence[str]) -> int:
    """Return the line (from 1) of a table or key, else of the nearest table around it, else 1.

    Args:
        text: of the file.
        path: names from the outermost table to the key: `("models", "digits", "source")`.

    Example:
        >>> find_line('[project]\\nname = "x"', ("project", "name"))
        2
    """
    table: tuple[str, ...] = ()
    found: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key[1])), number)
    wanted = tuple(path)
    while wanted and wanted not in found:
        wanted = wanted[:-1]
    return found.get(wanted, 1)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, name))
