"""Read one value of `edgeai.toml` by its kind: texts, paths, amounts with units, words, steps. Errors name the key."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgeai.builder.schema import METRICS, Key, Kind
from edgeai.cli import quantities
from edgeai.cli.options import nearest
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.parse import parse_steps

_Amount = TypeVar("_Amount", int, float)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def is_name(text: str) -> bool:
    """Whether a text can name a model or a target: it becomes the name of a folder, and stands before a `/`."""
    return _NAME.fullmatch(text) is not None


def _text(value: Any, *, key: Key, where: str, root: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(value, where, "a text", key)
    return value


def _path(value: Any, *, key: Key, where: str, root: Path) -> Path:
    return Path(os.path.normpath(root / _text(value, key=key, where=where, root=root)))


def _paths(value: Any, *, key: Key, where: str, root: Path) -> tuple[Path, ...]:
    return tuple(Path(os.path.normpath(root / each)) for each in _list_of_texts(value, key=key, where=where))


def _data(value: Any, *, key: Key, where: str, root: Path) -> str:
    """Return the text with its path made absolute; `module:function` stays as it is, and a selection `x.npz:a` too."""
    text = _text(value, key=key, where=where, root=root)
    head, colon, tail = text.rpartition(":")
    if colon and "\\" not in tail and "/" not in tail and not (root / text).exists():
        is_file = head.lower().endswith((".npz", ".py"))
        return f"{os.path.normpath(root / head)}:{tail}" if is_file else text
    return os.path.normpath(root / text)


def _whole(value: Any, *, key: Key, where: str, root: Path) -> int:
    if type(value) is not int or value < 0:
        raise _wrong(value, where, "a whole number", key)
    return value


def _flag(value: Any, *, key: Key, where: str, root: Path) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, where, "true or false", key)
    return value


def _fraction(value: Any, *, key: Key, where: str, root: Path) -> float:
    if type(value) is int and value == 1:  # 1% is what most people mean, and 100% is what it says
        raise UsageError(f"{where}: 1 may be all, or one percent.", hint='Write "1%" or "100%". Received: 1')
    return quantities.parse_fraction(_amount(value, where, key), option=where)


def _size(value: Any, *, key: Key, where: str, root: Path) -> int:
    return _above_zero(quantities.parse_size(_amount(value, where, key), option=where), value, where, key)


def _memory(value: Any, *, key: Key, where: str, root: Path) -> float:
    return _above_zero(quantities.parse_memory(_amount(value, where, key), option=where), value, where, key)


def _latency(value: Any, *, key: Key, where: str, root: Path) -> quantities.LatencyLimit:
    limit = quantities.parse_latency(_amount(value, where, key), option=where)
    _above_zero(limit.milliseconds or limit.ratio or 0.0, value, where, key)
    return limit


def _metric(value: Any, *, key: Key, where: str, root: Path) -> str:
    name = _text(value, key=key, where=where, root=root)
    if ":" not in name and name not in METRICS:
        raise UsageError(f"{where} takes {key.about} Received: {name!r}", hint=nearest(name, METRICS))
    return name


def _word(value: Any, *, key: Key, where: str, root: Path) -> str:
    if value not in key.allowed:
        hint = nearest(value, key.allowed) if isinstance(value, str) else ""
        raise UsageError(f"{where} takes {', '.join(key.allowed)}. Received: {value!r}", hint=hint)
    return str(value)


def _words(value: Any, *, key: Key, where: str, root: Path) -> tuple[str, ...]:
    given = _list_of_texts(value, key=key, where=where)
    return tuple(dict.fromkeys(_word(each, key=key, where=where, root=root) for each in given))


def _steps(value: Any, *, key: Key, where: str, root: Path) -> dict[str, tuple[Step, ...]]:
    named = {"": value} if isinstance(value, str) else value
    if not isinstance(named, dict) or not all(isinstance(each, str) for each in named.values()):
        raise _wrong(value, where, "a text, or a table of texts by tensor name", key)
    try:
        return {name: parse_steps(text) for name, text in named.items()}
    except EdgeAIError as error:
        raise UsageError(f"{where}: {error.message}", hint=error.hint) from error


def _shapes(value: Any, *, key: Key, where: str, root: Path) -> dict[str, tuple[int, ...]]:
    def is_shape(sizes: Any) -> bool:
        return isinstance(sizes, list) and all(type(each) is int and (each > 0 or each == -1) for each in sizes)

    if not isinstance(value, dict) or not all(is_shape(each) for each in value.values()):
        raise _wrong(value, where, "a table of shapes by input name, sizes above 0 or -1", key)
    return {name: tuple(sizes) for name, sizes in value.items()}


READERS: dict[Kind, Callable[..., Any]] = {
    "text": _text,
    "path": _path,
    "paths": _paths,
    "data": _data,
    "whole": _whole,
    "flag": _flag,
    "fraction": _fraction,
    "size": _size,
    "memory": _memory,
    "latency": _latency,
    "metric": _metric,
    "word": _word,
    "words": _words,
    "steps": _steps,
    "shapes": _shapes,
}


def _amount(value: Any, where: str, key: Key) -> str:
    """Return an amount as text; a bare number is one without a unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong(value, where, "an amount", key)
    return value if isinstance(value, str) else str(value)


def _above_zero(amount: _Amount, value: Any, where: str, key: Key) -> _Amount:
    """Return the amount; a limit of nothing is one that nothing can keep."""
    if amount <= 0:
        raise _wrong(value, where, "more than 0", key)
    return amount


def _list_of_texts(value: Any, *, key: Key, where: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise _wrong(value, where, "a list of texts that is not empty", key)
    return value


def _wrong(value: Any, where: str, wanted: str, key: Key) -> UsageError:
    return UsageError(f"{where} must be {wanted}. Received: {value!r}", hint=f"For example {key.example}")
