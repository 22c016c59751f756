"""`edgeai export`: what an app, a firmware or a device's compiler needs of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    model: Annotated[Path, typer.Argument(metavar="BUNDLE|MODEL", help="The bundle, or a model file.")],
    to: Annotated[
        str, typer.Option("--to", help="c, android or ios; or a device's compiler: ethos-u, qnn-context, coreml, …")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder to write to. Default: NAME-TO here.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="A device profile: chooses what fits, reports what does not.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="The variant of the bundle. Default: the first that can be exported.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Write sources and files for platforms without edgeai's runtime; nothing is built."""
    from edgeai.cli import output as out
    from edgeai.exporting import export

    out.require_file(model)
    folder = output if output is not None else Path(f"{model.stem}-{to}")
    made = export(model, to=to, out=folder, device=device, variant=variant, force=force)
    if json:
        out.print_json(
            {"to": to, "files": [str(path) for path in made.files], "notes": list(made.notes), "facts": made.facts}
        )
        return
    for path in made.files:
        typer.echo(f"{path}  ({out.bytes_in_words(path.stat().st_size)})")
    for note in made.notes:
        out.warn(f"note: {note}")
