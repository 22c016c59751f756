"""The JSON Schema for editors and the tables of the page: current, and of one mind with what reads the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tomllib

from edgeai.builder.config_read import parse_config
from edgeai.builder.json_schema import FILE, json_schema, schema_text
from edgeai.builder.schema_page import with_key_tables
from edgeai_runtime.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
REMEDY = "write it again: python -m edgeai.builder"

AMOUNTS = [
    ("size", "150KB", True),
    ("size", "2 MiB", True),
    ("size", "2 apples", False),
    ("latency", "60%", True),
    ("latency", "5 ms", True),
    ("latency", "5", False),
    ("memory", "64MB", True),
    ("memory", "64", False),
    ("coverage", "95%", True),
    ("coverage", "1.0", True),
    ("coverage", "95ms", False),
]


def test_the_schema_beside_the_module_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == schema_text(), REMEDY


def test_the_tables_of_the_page_are_current() -> None:
    page = (ROOT / "docs" / "build.md").read_text(encoding="utf-8")
    assert page == with_key_tables(page), REMEDY


@pytest.mark.parametrize(("key", "value", "fine"), AMOUNTS)
def test_schema_and_reader_agree_on_amounts(tmp_path: Path, key: str, value: str, fine: bool) -> None:
    target = json_schema()["properties"]["models"]["additionalProperties"]["properties"]["targets"]
    rule = target["additionalProperties"]["properties"]["gates"]["properties"][key]
    patterns = [each["pattern"] for each in (rule, *rule.get("anyOf", ())) if "pattern" in each]
    document = {
        "schema": 1,
        "project": {"name": "app"},
        "models": {"net": {"source": "net.onnx", "targets": {"any": {"gates": {key: value}}}}},
    }
    try:
        parse_config(document, file=tmp_path / "edgeai.toml")
        read = True
    except UsageError:
        read = False
    assert (any(re.search(pattern, value) for pattern in patterns), read) == (fine, fine)


def test_the_example_is_valid_by_the_schema() -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    document = tomllib.loads((ROOT / "examples" / "build" / "edgeai.toml").read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads(FILE.read_text(encoding="utf-8")))
    document["models"]["digits"]["budgets"] = {}
    with pytest.raises(jsonschema.ValidationError, match="budgets"):
        jsonschema.validate(document, json.loads(FILE.read_text(encoding="utf-8")))
