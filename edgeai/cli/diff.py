"""`edgeai diff`: what changed from one bundle to another."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai.cli import options

if TYPE_CHECKING:
    from edgeai.diffing import Change

_LONGEST = 48


def command(
    a: Annotated[Path, typer.Argument(metavar="A", help="The older bundle, or a .tflite, .onnx or .xml model.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The newer one.")],
    json: options.Json = False,
) -> int:
    """Show changes in operators, sizes, accuracy, latency and provenance. Differences are not a failure: exit 0."""
    from edgeai.cli import output as out
    from edgeai.diffing import diff

    for file in (a, b):
        out.require_file(file)
    found = diff(a, b)
    if json:
        out.print_json(found.to_json())
        return 0
    typer.echo(f"{a} → {b}: {'nothing changed' if found.same else 'changed'}")
    _show(found.changes, indent="  ")
    for one in found.variants:
        renamed = f" (was {one.a})" if one.a and one.b and one.a != one.b else ""
        typer.echo(f"\n  variant {one.b or one.a}{renamed}: {one.status}")
        _show(one.changes, indent="    ")
    return 0


def _show(changes: Iterable[Change], *, indent: str) -> None:
    for section, group in groupby(changes, key=lambda one: one.section):
        typer.echo(f"{indent}{section}")
        for one in group:
            note = f"  ({one.note})" if one.note else ""
            typer.echo(f"{indent}  {one.name}: {_words(one.a)} → {_words(one.b)}{note}")


def _words(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = str(value)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
