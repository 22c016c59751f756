"""`edgeai report`: stored results of `bench`, here or on devices, or one of `compress`, as a page that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeai.cli import options
from edgeai_runtime.errors import UsageError


def command(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS…",
            help="What bench --json or compress --json printed, or a device's bench --json; several of bench.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page. Default: RESULTS with .html, beside it; several need a name."),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Write one self-contained HTML page: no script, nothing loaded from anywhere, printable."""
    from edgeai.cli import output as out
    from edgeai.report.html import render_report

    if output is None and len(results) > 1:
        raise UsageError("Several results become one page, which needs a name.", hint="Name it: -o page.html.")
    page = output or results[0].with_suffix(".html")
    for path in results:
        out.require_file(path)
    out.require_free(page, force=force)
    text = render_report(_document(results))
    out.write_text(page, text)
    if json:
        out.print_json({"report": str(page), "size_bytes": len(text.encode())})
    else:
        typer.echo(f"{page}: {out.bytes_in_words(len(text.encode()))}")


def _document(results: list[Path]) -> Any:
    """Return what the page is made of: the document of one file, or all results of several as one."""
    from edgeai.benchmarking.device_result import is_from_device
    from edgeai.benchmarking.joined import join_results
    from edgeai.benchmarking.stored import check_report, read_report
    from edgeai.cli import output as out
    from edgeai.report.bench_runs import short_names

    if len(results) == 1:
        document = out.read_json(results[0])
        return check_report(document, where=str(results[0])) if is_from_device(document) else document
    paths = list(dict.fromkeys(results))
    names = short_names([str(path.with_suffix("")) for path in paths])
    return join_results({names[str(path.with_suffix(""))]: read_report(path) for path in paths})
