"""Results of `edgeai bench` on disk, read and checked against the record of `result.py`.

The record's dataclasses are the schema: what they require must be there and of their types, what they give a default
may be missing. Keys that they do not know are left alone, so that a later edgeai may add some without a new schema.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgeai.benchmarking.result import SCHEMA, BenchReport
from edgeai_runtime.errors import DataError, UsageError

_FAMILY = SCHEMA.rpartition("/")[0]


def read_report(path: Path) -> dict[str, Any]:
    """Return a stored result, with every key of the record (its default, where the file has none).

    Raises:
        UsageError: there is no such file, or it is the result of another command.
        DataError: it is no JSON, of a schema that this version does not read, incomplete, or of wrong types.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {path}.", hint="edgeai bench MODEL --json > result.json") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can not be read as text: {error}") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not a JSON file: {error}", hint=_HINT) from error
    return check_report(document, where=str(path))


def check_report(document: Any, *, where: str) -> dict[str, Any]:
    """Return a result of `edgeai bench` with every key of the record, or say why it is none.

    Args:
        document: what was read, or `BenchReport.to_json()`; it is not changed.
        where: how a message calls it.

    Raises:
        UsageError, DataError: as in `read_report`.
    """
    if not isinstance(document, Mapping):
        raise DataError(f"{where} is no result of `edgeai bench`: it holds {_kind(document)}.", hint=_HINT)
    schema = document.get("schema")
    if schema != SCHEMA:
        _refuse(document, schema, where)
    checked: dict[str, Any] = _checked(document, BenchReport, where, "")
    if not checked["runs"]:
        raise DataError(f"{where} holds no run.", hint=_HINT)
    return checked


_HINT = "Results are written by `edgeai bench … --json`."


def _refuse(document: Mapping[str, Any], schema: Any, where: str) -> None:
    if isinstance(document.get("error"), Mapping):
        said = document["error"].get("message", "it does not say why")
        raise UsageError(f"{where} is what a command left that failed: {said}", hint=_HINT)
    if isinstance(schema, str) and schema.startswith(f"{_FAMILY}/"):
        raise DataError(
            f"{where} was written by another version of edgeai: its schema is {schema}, this version reads {SCHEMA}.",
            hint="Measure again with this version, or read it with the version that wrote it.",
        )
    if "candidates" in document:
        raise UsageError(f"{where} is a result of `edgeai compress`, not of `edgeai bench`.", hint=_HINT)
    raise UsageError(
        f"{where} is no result of `edgeai bench`: its schema is not {SCHEMA}. Received: {schema!r}", hint=_HINT
    )


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _checked(value: Any, wanted: Any, where: str, place: str) -> Any:
    """Return `value` as the type `wanted` has it in JSON; raise `DataError` naming the place where it is not."""
    origin = get_origin(wanted)
    if wanted is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(wanted):
            return None
        return _checked(value, next(one for one in get_args(wanted) if one is not type(None)), where, place)
    if dataclasses.is_dataclass(wanted):
        return _checked_record(value, wanted, where, place)
    if origin is Literal and value in get_args(wanted):
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return _checked_items(value, get_args(wanted), where, place)
    if origin is dict and isinstance(value, Mapping):
        inner = get_args(wanted)[1]
        return {str(key): _checked(one, inner, where, f"{place}.{key}") for key, one in value.items()}
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if wanted in (str, int, bool) and isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return value
    raise DataError(f"{where}: {place} should be {_words(wanted)}. Received: {_kind(value)}", hint=_HINT)


def _checked_record(value: Any, record: Any, where: str, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: {place} should be an object. Received: {_kind(value)}", hint=_HINT)
    result = dict(value)
    for field in dataclasses.fields(record):
        inner = f"{place}.{field.name}" if place else field.name
        if field.name in value:
            result[field.name] = _checked(value[field.name], _hints(record)[field.name], where, inner)
        elif field.default is not dataclasses.MISSING:
            result[field.name] = field.default
        else:
            raise DataError(f"{where} is incomplete: {inner} is missing.", hint=_HINT)
    return result


def _checked_items(value: list[Any] | tuple[Any, ...], inner: tuple[Any, ...], where: str, place: str) -> list[Any]:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return [_checked(one, inner[0], where, f"{place}[{number}]") for number, one in enumerate(value)]
    if len(inner) != len(value):
        raise DataError(f"{where}: {place} should hold {len(inner)} values. Received: {len(value)}", hint=_HINT)
    return [
        _checked(one, kind, where, f"{place}[{number}]")
        for number, (one, kind) in enumerate(zip(value, inner, strict=True))
    ]


def _words(wanted: Any) -> str:
    if get_origin(wanted) is Literal:
        return "one of " + ", ".join(map(str, get_args(wanted)))
    simple = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}
    return simple.get(wanted) or ("a list" if get_origin(wanted) is tuple else "an object")


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str | bool | int | float):
        return repr(value)[:60]
    return "a list" if isinstance(value, list | tuple) else "an object" if isinstance(value, Mapping) else "a thing"
