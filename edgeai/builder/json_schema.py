"""The JSON Schema of `edgeai.toml`, for editors; made from the table of keys, kept beside as `edgeai.schema.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeai.builder.schema import INSIDE, METRICS, SCHEMA, TABLES, Key, Kind

FILE = Path(__file__).with_name("edgeai.schema.json")

_NAME_PATTERN = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_LIST: dict[str, Any] = {"type": "array", "items": _TEXT, "minItems": 1}
_NUMBER = r"\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
_SIZE_UNIT = "([kKmMgG]|[bB]|[kKmMgG][iI]?[bB])"

_VALUES: dict[Kind, dict[str, Any]] = {
    "text": _TEXT,
    "path": _TEXT,
    "data": _TEXT,
    "paths": _LIST,
    "whole": {"type": "integer", "minimum": 0},
    "flag": {"type": "boolean"},
    "fraction": {
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": f"^{_NUMBER}%?\\s*$"}]
    },
    "size": {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": f"^{_NUMBER}{_SIZE_UNIT}?\\s*$"},
        ]
    },
    "memory": {"type": "string", "pattern": f"^{_NUMBER}{_SIZE_UNIT}\\s*$"},
    "latency": {"type": "string", "pattern": f"^{_NUMBER}(%|[mM][sS]|[uUµμ][sS]|[sS])\\s*$"},
    "metric": {"anyOf": [{"enum": list(METRICS)}, {"type": "string", "pattern": "^.+:.+$"}]},
    "word": _TEXT,
    "words": _LIST,
    "steps": {"anyOf": [_TEXT, {"type": "object", "additionalProperties": _TEXT}]},
    "shapes": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "integer", "minimum": -1}},
    },
}


def json_schema() -> dict[str, Any]:
    """Return the schema as a document (JSON Schema, draft 2020-12)."""
    document = _table("")
    document["properties"]["schema"] = {"const": SCHEMA, "description": "The version of this file's form."}
    document["required"] = ["schema", "project", "models"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgeai.toml",
        "description": "What edgeai build makes, and what must hold of it.",
        **document,
    }


def schema_text() -> str:
    """Return the schema as the text of `edgeai.schema.json`."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _table(name: str) -> dict[str, Any]:
    keys = TABLES.get(name, ())
    properties = {key.name: _value(key) for key in keys}
    for inner in INSIDE.get(name, ()):
        path = f"{name}.{inner}" if name else inner
        if path in TABLES:
            properties[inner] = _table(path)
        elif f"{path}.NAME" in TABLES:
            properties[inner] = {
                "type": "object",
                "propertyNames": {"pattern": _NAME_PATTERN},
                "additionalProperties": _table(f"{path}.NAME"),
                "minProperties": 1,
            }
    required = [key.name for key in keys if key.required] + (["targets"] if name == "models.NAME" else [])
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _value(key: Key) -> dict[str, Any]:
    value = dict(_VALUES[key.kind])
    if key.kind == "word":
        value = {"enum": list(key.allowed)}
    elif key.kind == "words":
        value["items"] = {"enum": list(key.allowed)}
    return {"description": key.about, **value}
