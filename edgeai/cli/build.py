"""`edgeai build`: what `edgeai.toml` asks for, made, judged, signed; only what changed is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The file, or its folder. Default: edgeai.toml here.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run; run and write nothing.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say of every step why it is run.")] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Replay edgeai.lock; fail when it does not match. Never searches: for CI.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(metavar="MODEL[/TARGET]", help="Build this model, or this target of it.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write steps and gates as JUnit XML.")] = None,
    sarif: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what failed as SARIF.")] = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a summary in Markdown.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make everything again, searches too; overwrite what others wrote.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Build every target of edgeai.toml; exit 1 when a step failed or a gate is broken."""
    from edgeai.builder.config_read import find_config, read_config
    from edgeai.builder.run_build import run_build
    from edgeai.cli import output as out
    from edgeai.cli.build_files import BuildFiles
    from edgeai.cli.progress import progress

    config, files = read_config(find_config(file)), BuildFiles(junit=junit, sarif=sarif, summary=summary)
    files.check(config)
    with progress(quiet=json or dry_run) as on_step:
        result = run_build(config, only=only, locked=locked, force=force, dry_run=dry_run, on_step=on_step)
    document = result.to_json()
    failure = files.write(document, result.file)
    if not json:
        from edgeai.cli.build_table import render

        render(document, explain=explain or dry_run)
    if failure is not None:
        raise failure
    if json:
        out.print_json(document)
    return 0 if result.ok else 1
