"""Amounts as people write them on a command line: `1%`, `200KB`, `5ms`, `64MiB`, `x=1x3x32x32`.

One function per kind of amount. Each raises `UsageError` (exit 2) that repeats what was received and shows an example.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from edgeai_runtime.errors import UsageError

_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?\s*([A-Za-zµμ%]*)\s*")

_BYTES = {
    "b": 1,
    "kb": 1000,
    "k": 1000,
    "mb": 1000**2,
    "m": 1000**2,
    "gb": 1000**3,
    "g": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_MILLISECONDS = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "s": 1e3}
_MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class LatencyLimit:
    """A limit on latency: an absolute one in milliseconds, or a share of the float artifact's; exactly one is set."""

    milliseconds: float | None = None
    ratio: float | None = None


def parse_fraction(text: str, *, option: str) -> float:
    """Return `1%` or `0.01` as a fraction between 0 and 1.

    Raises:
        UsageError: no number, another unit, or outside 0 to 100 %. A bare number above 1 is refused rather than
            guessed to be a percentage.
    """
    value, unit = _split(text, option=option, example="1% or 0.01")
    if unit not in ("", "%"):
        raise _wrong_unit(text, option=option, example="1% or 0.01")
    fraction = value / 100 if unit == "%" else value
    if fraction > 1:
        hint = f"For {value:g} percent write {value:g}%." if unit == "" else ""
        raise UsageError(f"{option} must be between 0 and 100 %. Received: {text!r}", hint=hint)
    return fraction


def parse_size(text: str, *, option: str) -> int:
    """Return `200KB`, `2MiB` or `150000` as bytes; KB is 1000 bytes, KiB is 1024."""
    value, unit = _split(text, option=option, example="200KB, 2MiB or 150000 (bytes)")
    factor = _BYTES.get(unit.lower() or "b")
    if factor is None:
        raise _wrong_unit(text, option=option, example="200KB, 2MiB or 150000 (bytes)")
    return int(value * factor)


def parse_memory(text: str, *, option: str) -> float:
    """Return `64MB`, `64MiB` or `1GB` as MiB; a unit is needed, for bytes and mebibytes are easily mixed up."""
    value, unit = _split(text, option=option, example="64MB or 64MiB")
    factor = _BYTES.get(unit.lower())
    if factor is None:
        raise _wrong_unit(text, option=option, example="64MB or 64MiB")
    return value * factor / _MIB


def parse_latency(text: str, *, option: str) -> LatencyLimit:
    """Return `5ms`, `800us`, `0.1s`, or `40%` (of the float artifact's latency in the same engine)."""
    value, unit = _split(text, option=option, example="5ms or 40% (of the float artifact's latency)")
    if unit == "%":
        return LatencyLimit(ratio=value / 100)
    factor = _MILLISECONDS.get(unit.lower())
    if factor is None:
        raise _wrong_unit(text, option=option, example="5ms or 40% (of the float artifact's latency)")
    return LatencyLimit(milliseconds=value * factor)


def parse_duration(text: str, *, option: str) -> float:
    """Return `2s`, `500ms` or `2` (seconds) as seconds, more than 0."""
    value, unit = _split(text, option=option, example="2s or 500ms")
    factor = 1e3 if unit == "" else _MILLISECONDS.get(unit.lower())
    if factor is None:
        raise _wrong_unit(text, option=option, example="2s or 500ms")
    if value <= 0:
        raise UsageError(f"{option} must be more than 0. Received: {text!r}")
    return value * factor / 1e3


def parse_shape(text: str, *, option: str) -> tuple[str, tuple[int, ...]]:
    """Return `x=1x3x32x32` as `("x", (1, 3, 32, 32))`; commas serve as well as `x`, and -1 or `?` keeps a size free."""
    name, separator, sizes = text.rpartition("=")
    if not separator or not name.strip():
        raise UsageError(f"{option} takes NAME=SIZES, such as x=1x3x32x32. Received: {text!r}")
    parts = ["-1" if part.strip() == "?" else part.strip() for part in re.split("[x,]", sizes)]
    if not all(part == "-1" or (part.isascii() and part.isdigit() and int(part) > 0) for part in parts):
        raise UsageError(
            f"{option}: each size is a whole number above 0, or -1 to stay free, as in {name}=-1x3x32x32. "
            f"Received: {text!r}"
        )
    return name.strip(), tuple(int(part) for part in parts)


def _split(text: str, *, option: str, example: str) -> tuple[float, str]:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise UsageError(f"{option} takes an amount such as {example}. Received: {text!r}")
    number, exponent, unit = match.groups()
    value = float(f"{number}e{exponent or 0}")
    if not math.isfinite(value):
        raise UsageError(f"{option} is too large. Received: {text!r}")
    return value, unit


def _wrong_unit(text: str, *, option: str, example: str) -> UsageError:
    return UsageError(f"{option} takes an amount with its unit, such as {example}. Received: {text!r}")
