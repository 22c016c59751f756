"""Results of `edgeai bench` on disk, read and checked against the record of `result.py`.

What a device measured (`python -m edgeai_runtime bench … --json`) is read as well: `device_result.py` makes a result of
it, and from there on it is one like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai.benchmarking.device_result import from_device, is_from_device
from edgeai.benchmarking.record_check import check_record, kind_of
from edgeai.benchmarking.result import SCHEMA, BenchReport
from edgeai_runtime.errors import DataError, UsageError

_FAMILY = SCHEMA.rpartition("/")[0]

_HINT = "Results are written by `edgeai bench … --json`, on a device by `python -m edgeai_runtime bench … --json`."


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
        raise DataError(f"{path} cannot be read as text: {error}") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not a JSON file: {error}", hint=_HINT) from error
    return check_report(document, where=str(path))


def check_report(document: Any, *, where: str) -> dict[str, Any]:
    """Return a result of `edgeai bench` or of a device with every key of the record, or say why it is none.

    Args:
        document: what was read, or `BenchReport.to_json()`; it is not changed.
        where: how a message calls it.

    Raises:
        UsageError, DataError: as in `read_report`.
    """
    if not isinstance(document, Mapping):
        raise DataError(f"{where} is no result of `edgeai bench`: it holds {kind_of(document)}.", hint=_HINT)
    if is_from_device(document):
        document = from_device(document, where=where)
    elif document.get("schema") != SCHEMA:
        _refuse(document, document.get("schema"), where)
    checked = check_record(document, BenchReport, where=where, hint=_HINT)
    if not checked["runs"]:
        raise DataError(f"{where} holds no run.", hint=_HINT)
    return checked


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
