"""`edgeai report`: a stored result of `bench` or `compress` as a page that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="What bench --json or compress --json printed.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page. Default: RESULTS with .html, beside it."),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Write one self-contained HTML page: no script, nothing loaded from anywhere, printable."""
    from edgeai.cli import output as out
    from edgeai.report.html import render_report

    page = output or results.with_suffix(".html")
    out.require_file(results)
    out.require_free(page, force=force)
    text = render_report(out.read_json(results))
    out.write_text(page, text)
    if json:
        out.print_json({"report": str(page), "size_bytes": len(text.encode())})
    else:
        typer.echo(f"{page}: {out.bytes_in_words(len(text.encode()))}")
