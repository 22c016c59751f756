"""A stored document of `compress` or `bench` as one self-contained HTML page, by what the document is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeai.benchmarking.result import SCHEMA
from edgeai.benchmarking.stored import check_report
from edgeai.report.bench_page import render_bench_report
from edgeai.report.compress_page import render_compress_report
from edgeai_runtime.errors import DataError, UsageError

__all__ = ["render_bench_report", "render_compress_report", "render_report"]


def render_report(document: Any) -> str:
    """Return the report page of what `edgeai compress --json` or `edgeai bench --json` printed.

    Raises:
        UsageError: it is neither, or of a schema that this version does not know.
        DataError: something in it is of a wrong type.
    """
    if isinstance(document, Mapping):
        schema = document.get("schema")
        if schema is not None and schema != SCHEMA:
            raise UsageError(
                f"a report is made of {SCHEMA} and of what compress prints. Received: schema {schema!r}",
                hint="A newer edgeai wrote it: report it with that one.",
            )
        for key, render in (("runs", render_bench_report), ("candidates", render_compress_report)):
            if key in document:
                return _rendered(render, document)
    keys = ", ".join(map(str, document)) if isinstance(document, Mapping) else type(document).__name__
    raise UsageError(
        "this is neither a document of `edgeai bench --json` nor of `edgeai compress --json`. "
        f"Received: {keys or 'nothing'}"
    )


def _rendered(render: Callable[[Mapping[str, Any]], str], document: Mapping[str, Any]) -> str:
    """Return the page; a document that was changed by hand or is cut short is an error that names the place."""
    try:
        return render(document)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if document.get("schema") == SCHEMA:
            check_report(document, where="the result")
        raise DataError(f"the result holds what no report can be made of: {error}") from error
