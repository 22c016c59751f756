"""Options that several verbs share, so that they read and mean the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from edgeai_runtime.errors import UsageError

_Word = TypeVar("_Word", bound=str)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of text.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that exist already.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Most threads an engine may use.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Work = Annotated[Path | None, typer.Option("--work", help="Folder that keeps finished steps, so that a rerun resumes.")]
Preprocess = Annotated[
    list[str] | None,
    typer.Option("--preprocess", metavar="STEPS or NAME=STEPS", help="What is done to samples, as for compress."),
]
CalibrationData = Annotated[str | None, typer.Option(help="Samples for calibration only.")]
CertificationData = Annotated[str | None, typer.Option(help="Samples for the certificate only.")]
Metric = Annotated[str | None, typer.Option(help="As for compress. Default: top1, or agreement.")]
MaxDrop = Annotated[str | None, typer.Option(help="Most that may be lost: 1%. Default: no limit.")]
Exclude = Annotated[
    list[str] | None, typer.Option(metavar="NODE", help="Operation that int8 keeps in float. Repeatable.")
]
Boundary = Annotated[str, typer.Option(help="Inputs and outputs of int8: float32, int8 or uint8 (TFLite, ONNX).")]
QOperator = Annotated[
    bool, typer.Option("--qoperator", help="Write int8 for ONNX in integer operators, not Q/DQ nodes.")
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        "--input-shape",
        metavar="NAME=SIZES",
        help="Fix a free shape, as in x=1x3x32x32; -1 keeps a size free. May be repeated.",
    ),
]


def parse_input_shapes(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes per input name, or `None` when none were given."""
    from edgeai.cli.quantities import parse_shape

    shapes = dict(parse_shape(text, option="--shape") for text in texts or ())
    return shapes or None


def choices(
    text: str | None, allowed: Sequence[_Word], *, option: str, default: Sequence[_Word] | None = None
) -> tuple[_Word, ...]:
    """Return a comma-separated list of allowed words; when nothing was given the default, or all of them.

    Raises:
        UsageError: a word that is not allowed; the nearest one is offered.
    """
    if text is None:
        return tuple(allowed if default is None else default)
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError(f"{option} needs at least one of {', '.join(allowed)}. Received: {text!r}")
    known = {str(word): word for word in allowed}
    for word in words:
        if word not in known:
            raise UsageError(f"{option} takes {', '.join(allowed)}. Received: {word!r}", hint=nearest(word, allowed))
    return tuple(known[word] for word in dict.fromkeys(words))


def choice(text: str, allowed: Sequence[_Word], *, option: str) -> _Word:
    """Return the one allowed word that was given."""
    found = choices(text, allowed, option=option)
    if len(found) > 1:
        raise UsageError(f"{option} takes one of {', '.join(allowed)}. Received: {text!r}")
    return found[0]


def nearest(word: str, names: Sequence[str]) -> str:
    """Return `Did you mean …?`, or nothing when no name is near."""
    from difflib import get_close_matches

    close = get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]}?" if close else ""


def named_steps(texts: Sequence[str] | None) -> str | dict[str, str] | None:
    """Return steps for the only input (`cast:float32`), or per name when written `NAME=STEPS`.

    A text names its tensor when no `:`, `;` or `,` stands before its first `=`: in `normalize:mean=[…]` the `=`
    belongs to a parameter.
    """
    if not texts:
        return None
    named: dict[str, str] = {}
    for text in texts:
        name, separator, steps = text.partition("=")
        if separator and not set(name) & set(":;,"):
            named[name.strip()] = steps
        elif len(texts) > 1:
            raise UsageError(f"With several inputs or outputs write NAME=STEPS. Received: {text!r}")
        else:
            return text
    return named


def pairs(texts: Sequence[str] | None, *, option: str) -> dict[str, str]:
    """Return what was written as `A=B`, repeated."""
    found = {}
    for text in texts or ():
        left, separator, right = text.partition("=")
        if not (left.strip() and separator and right.strip()):
            raise UsageError(f"{option} takes A=B. Received: {text!r}")
        found[left.strip()] = right.strip()
    return found
