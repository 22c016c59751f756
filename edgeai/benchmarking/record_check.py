"""JSON held against dataclasses that say what it should be.

What a dataclass requires must be there and of its type, what it gives a default may be missing. Keys that it does not
know are left alone, so that a later version may add some without a new schema.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgeai_runtime.errors import DataError


def check_record(document: Any, record: type, *, where: str, hint: str) -> dict[str, Any]:
    """Return `document` with every key of `record` (its default, where there is none), nested ones likewise.

    Args:
        document: what `json.loads` gave; it is not changed.
        record: a dataclass of text, numbers, truth values, tuples, dicts by text, literals, and dataclasses of these.
        where: how a message calls the document.
        hint: of the error.

    Raises:
        DataError: something is missing or of another type; it names the place.
    """
    checked: dict[str, Any] = _Checker(where=where, hint=hint).record(document, record, "")
    return checked


def kind_of(value: Any) -> str:
    """Return what a value of JSON is, in words: itself, or `a list`, `an object`, `nothing`."""
    if value is None:
        return "nothing"
    if isinstance(value, str | bool | int | float):
        return repr(value)[:60]
    return "a list" if isinstance(value, list | tuple) else "an object" if isinstance(value, Mapping) else "a thing"


@dataclass(frozen=True, kw_only=True)
class _Checker:
    where: str
    hint: str

    def value(self, value: Any, wanted: Any, place: str) -> Any:
        """Return `value` as the type `wanted` has it in JSON; raise `DataError` naming the place where it is not."""
        origin = get_origin(wanted)
        if wanted is Any:
            return value
        if origin in (Union, types.UnionType):
            if value is None and type(None) in get_args(wanted):
                return None
            return self.value(value, next(one for one in get_args(wanted) if one is not type(None)), place)
        if dataclasses.is_dataclass(wanted):
            return self.record(value, wanted, place)
        if origin is Literal and value in get_args(wanted):
            return value
        if origin is tuple and isinstance(value, list | tuple):
            return self.items(value, get_args(wanted), place)
        if origin is dict and isinstance(value, Mapping):
            inner = get_args(wanted)[1]
            return {str(key): self.value(one, inner, f"{place}.{key}") for key, one in value.items()}
        if wanted is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if wanted in (str, int, bool) and isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
            return value
        raise self.error(f": {place} should be {_words(wanted)}. Received: {kind_of(value)}")

    def record(self, value: Any, record: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.error(f": {place} should be an object. Received: {kind_of(value)}")
        result = dict(value)
        for field in dataclasses.fields(record):
            inner = f"{place}.{field.name}" if place else field.name
            if field.name in value:
                result[field.name] = self.value(value[field.name], _hints(record)[field.name], inner)
            elif field.default is not dataclasses.MISSING:
                result[field.name] = field.default
            else:
                raise self.error(f" is incomplete: {inner} is missing.")
        return result

    def items(self, value: list[Any] | tuple[Any, ...], inner: tuple[Any, ...], place: str) -> list[Any]:
        if len(inner) == 2 and inner[1] is Ellipsis:
            inner = (inner[0],) * len(value)
        if len(inner) != len(value):
            raise self.error(f": {place} should hold {len(inner)} values. Received: {len(value)}")
        pairs = zip(value, inner, strict=True)
        return [self.value(one, kind, f"{place}[{number}]") for number, (one, kind) in enumerate(pairs)]

    def error(self, words: str) -> DataError:
        return DataError(f"{self.where}{words}", hint=self.hint)


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _words(wanted: Any) -> str:
    if get_origin(wanted) is Literal:
        return "one of " + ", ".join(map(str, get_args(wanted)))
    simple = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}
    return simple.get(wanted) or ("a list" if get_origin(wanted) is tuple else "an object")
