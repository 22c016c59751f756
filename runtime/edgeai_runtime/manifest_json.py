"""Manifest ↔ JSON: strict in both directions, because a manifest may come from anywhere.

The dataclasses of `manifest.py` are the grammar: every field is a key, a field without default must be there, an
unknown key is an error. What the types cannot say (paths, digests, names that must agree) is in `manifest_checks.py`.
Every error names the place in the document and what was found there.

Not here: files, digests and zip members (`bundle.py`).
"""

from __future__ import annotations

import functools
import json
import math
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, cast

from edgeai_runtime.errors import BundleError, SchemaError
from edgeai_runtime.manifest import SCHEMA, Manifest
from edgeai_runtime.manifest_checks import check_object
from edgeai_runtime.record import MISSING, field_defaults

MAX_DEPTH = 32  # nesting of free values (`params`, `metadata`); deeper is a mistake or an attack
_LARGEST_INTEGER = 2**63 - 1  # what other languages' readers hold

_HINTS: dict[type[Any], dict[str, Any]] = {}  # dataclass → field → type; resolving the annotations is slow


def to_json(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest as a JSON-able dict; tuples become lists, numpy numbers plain ones.

    Every field is in it, but for those that older readers do not know, when there is nothing in them.
    """
    document = cast("dict[str, Any]", _encode(manifest))
    for variant in document["variants"]:
        if variant["encryption"] is None:
            del variant["encryption"]
    return {name: value for name, value in document.items() if value or name not in ("assets", "pipeline")}


def dump_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of `manifest.json`: the same manifest always gives the same bytes (sorted keys, UTF-8).

    Raises:
        BundleError: the manifest makes no sense or cannot be written as JSON; nothing unreadable is ever written.
    """
    document = to_json(manifest)
    from_json(document, where="manifest")
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def parse_manifest(content: bytes, *, where: str) -> Manifest:
    """Read the bytes of a `manifest.json`; `where` is named in every error.

    Raises:
        SchemaError: the schema is not the one this version reads.
        IntegrityError: a path escapes the bundle or a digest has no sense.
        BundleError: not JSON, or the wrong keys, types or values.
    """
    try:
        document = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise BundleError(f"{where} is nested too deeply to be a manifest") from None
    except ValueError as error:  # json's and the decoder's own errors, and the refusals below
        raise BundleError(
            f"{where} is not valid JSON: {error}", hint="The file is damaged or was edited: fetch the bundle again."
        ) from error
    return from_json(document, where=where)


def from_json(document: Any, *, where: str) -> Manifest:
    """Turn a parsed JSON document into a `Manifest`, checking everything; `where` is named in every error.

    Raises:
        SchemaError: the schema is not the one this version reads.
        IntegrityError: a path escapes the bundle or a digest has no sense.
        BundleError: unknown or missing keys, wrong types, values out of range, names that do not agree.
    """
    if not isinstance(document, dict):
        _refuse(where, "", "an object", document)
    _check_schema(document.get("schema"), where=where)
    return cast("Manifest", _decode(document, Manifest, where, ""))


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """Return the known name closest to `name`, or an empty string when none is close."""
    import difflib

    return next(iter(difflib.get_close_matches(name[:80], sorted(known), n=1, cutoff=0.6)), "")


def _check_schema(schema: Any, *, where: str) -> None:
    if schema == SCHEMA:
        return
    if schema is None:
        raise SchemaError(
            f"{where} has no `schema`; this version reads {SCHEMA!r}",
            hint="This is not the manifest of an edgeai bundle.",
        )
    family, _, number = schema.partition("/") if isinstance(schema, str) else ("", "", "")
    if family == SCHEMA.partition("/")[0] and number:
        hint = f"pip install --upgrade edgeai-runtime  (one that reads {schema[:40]!r}), or build the bundle again."
    else:
        hint = "This is not the manifest of an edgeai bundle."
    raise SchemaError(f"{where} has the schema {_show(schema)}; this version reads {SCHEMA!r}", hint=hint)


def _decode(value: Any, kind: Any, where: str, at: str) -> Any:
    """Turn `value` into `kind` (a type annotation of the manifest); `at` is its place, such as `variants[0].id`."""
    if field_defaults(kind) is not None:
        return _decode_object(value, kind, where, at)
    if kind is Any:
        return _decode_free(value, where, at, depth=0)
    if kind is str:
        return _decode_text(value, where, at)
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST_INTEGER:
            _refuse(where, at, "an integer", value)
        return value
    if kind is float:
        return _decode_number(value, where, at)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            close = nearest(value, arguments) if isinstance(value, str) else ""
            _refuse(where, at, f"one of {', '.join(map(repr, arguments))}", value, hint=_meant(close))
        return value
    if origin is tuple:
        return _decode_list(value, arguments, where, at)
    if origin is dict:
        if not isinstance(value, dict):
            _refuse(where, at, "an object", value)
        return {
            _decode_text(name, where, at): _decode(item, arguments[1], where, _under(at, name))
            for name, item in value.items()
        }
    assert origin in (typing.Union, types.UnionType), f"the manifest has a field of type {kind}"
    (plain,) = [argument for argument in arguments if argument is not types.NoneType]
    return None if value is None else _decode(value, plain, where, at)


def _decode_object(value: Any, kind: type[Any], where: str, at: str) -> Any:
    if not isinstance(value, dict):
        _refuse(where, at, "an object", value)
    hints = _hints(kind)
    unknown = sorted(str(key) for key in value if key not in hints)
    if unknown:
        raise BundleError(
            f"{where}: unknown key {unknown[0][:80]!r} in {at or 'the document'}",
            hint=_meant(nearest(unknown[0], hints)) or f"Known keys: {', '.join(hints)}.",
        )
    for name, default in (field_defaults(kind) or {}).items():
        if name not in value and default is MISSING:
            raise BundleError(f"{where}: {_under(at, name)} is missing")
    result = kind(**{name: _decode(item, hints[name], where, _under(at, name)) for name, item in value.items()})
    check_object(result, where=f"{where}: {at}" if at else where)
    return result


def _decode_list(value: Any, arguments: tuple[Any, ...], where: str, at: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        _refuse(where, at, "a list", value)
    if arguments[-1] is Ellipsis:
        return tuple(_decode(item, arguments[0], where, f"{at}[{index}]") for index, item in enumerate(value))
    if len(value) != len(arguments):
        _refuse(where, at, f"a list of {len(arguments)}", value)
    return tuple(
        _decode(item, kind, where, f"{at}[{index}]")
        for index, (item, kind) in enumerate(zip(value, arguments, strict=True))
    )


def _decode_free(value: Any, where: str, at: str, *, depth: int) -> Any:
    """Check a value of any JSON type: finite numbers, clean text, bounded nesting."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _decode_text(value, where, at)
    if isinstance(value, int):
        return _decode(value, int, where, at)
    if isinstance(value, float):
        return _decode_number(value, where, at)
    if depth >= MAX_DEPTH:
        raise BundleError(f"{where}: {at[:80]}… is nested more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return [_decode_free(item, where, f"{at}[{index}]", depth=depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _decode_text(name, where, at): _decode_free(item, where, _under(at, name), depth=depth + 1)
            for name, item in value.items()
        }
    return _refuse(where, at, "a value that JSON has", value)


def _decode_text(value: Any, where: str, at: str) -> str:
    if not isinstance(value, str):
        _refuse(where, at, "text", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        _refuse(where, at, "text without lone surrogates", value)
    return value


def _decode_number(value: Any, where: str, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(where, at, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(where, at, "a finite number", value)
    return number


def _encode(value: Any, depth: int = 0) -> Any:
    if depth > 2 * MAX_DEPTH:
        raise BundleError("manifest: a value is nested too deeply, or holds itself")
    names = field_defaults(value)
    if names is not None:
        return {name: _encode(getattr(value, name), depth + 1) for name in names}
    if isinstance(value, Mapping):
        return {name: _encode(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item, depth + 1) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    return value


def _hints(kind: type[Any]) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = {name: _type(text, kind.__module__) for name, text in kind.__annotations__.items()}
    return _HINTS[kind]


@functools.lru_cache(maxsize=256)
def _type(text: str, module: str) -> Any:
    return eval(text, vars(sys.modules[module]))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the key {name[:80]!r} stands twice in one object")
        result[name] = value
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON has")


def _refuse(where: str, at: str, expected: str, value: Any, *, hint: str = "") -> NoReturn:
    raise BundleError(f"{where}: {at or 'the document'} must be {expected}. Received: {_show(value)}", hint=hint)


def _meant(name: str) -> str:
    return f"Did you mean {name!r}?" if name else ""


def _under(at: str, name: Any) -> str:
    text = str(name)[:80]
    return f"{at}.{text}" if at else text


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return "an integer of more than 64 bits"
    if value is None:
        return "null"
    return repr(value[:60] if isinstance(value, str) else value)[:80]
