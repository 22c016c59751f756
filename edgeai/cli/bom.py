"""`edgeai bom`: the bill of materials of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle: an .edge file or its folder.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The document. Default: BUNDLE with .cdx.json.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Write what a bundle was made of as a CycloneDX document (ML-BOM)."""
    from edgeai.bom import bill_of_materials
    from edgeai.cli import output as out

    out.require_file(bundle)
    target = output if output is not None else bundle.with_suffix(".cdx.json")
    if not json or output is not None:
        out.require_free(target, force=force)
    document = bill_of_materials(bundle)
    if not json or output is not None:
        out.write_text(target, out.json_text(document))
    if json:
        out.print_json(document)
        return 0
    typer.echo(f"{target}: CycloneDX {document['specVersion']}, {len(document['components'])} components")
    return 0
