"""The files that `edgeai bench` writes of one result: JSON, HTML, Markdown, CSV, JUnit, Chrome trace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeai_runtime.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class BenchFiles:
    """Where to write what; `None`: not at all."""

    output: Path | None = None
    html: Path | None = None
    markdown: Path | None = None
    csv: Path | None = None
    junit: Path | None = None
    trace: Path | None = None

    def _named(self) -> dict[str, Path]:
        named = {name: getattr(self, name) for name in ("output", "html", "markdown", "csv", "junit", "trace")}
        return {name: path for name, path in named.items() if path is not None}

    def require_free(self, *, force: bool) -> None:
        """Refuse before any work is done what could not be written after it.

        Raises:
            OutputError: a file exists and `force` is not set, or its folder does not.
            UsageError: two of them are the same file.
        """
        from edgeai.cli import output as out

        named = self._named()
        if len({path.absolute() for path in named.values()}) < len(named):
            raise UsageError("Every file needs a name of its own.", hint=", ".join(f"--{name}" for name in named))
        for path in named.values():
            out.require_free(path, force=force)

    def write(self, document: Mapping[str, Any], failures: Sequence[str]) -> list[Path]:
        """Write every file asked for, each whole or not at all, and return their paths."""
        from edgeai.cli import output as out

        written = []
        for name, path in self._named().items():
            out.write_text(path, _text(name, document, failures))
            written.append(path)
        return written


def _text(name: str, document: Mapping[str, Any], failures: Sequence[str]) -> str:
    if name == "html":
        from edgeai.report.bench_page import render_bench_report

        return render_bench_report(document)
    if name == "markdown":
        from edgeai.report.markdown import bench_markdown

        return bench_markdown(document)
    if name == "csv":
        from edgeai.report.csv_table import bench_csv

        return bench_csv(document)
    if name == "junit":
        from edgeai.report.junit import bench_junit

        return bench_junit(document, failures)
    if name == "trace":
        return json.dumps(_trace(document))
    from edgeai.cli.output import json_text

    return json_text(document)


def _trace(document: Mapping[str, Any]) -> dict[str, Any]:
    from edgeai.profiling.chrome_trace import chrome_trace

    profiles = {run["label"]: run["operators"] for run in document["runs"] if run.get("operators")}
    if not profiles:
        raise UsageError("There is no time per operation to write as a trace.", hint="Measure it: --measure operators.")
    return chrome_trace(profiles)
