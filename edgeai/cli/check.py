"""`edgeai check`: whether a model or bundle fits a device, before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeai.cli import options


def command(
    model: Annotated[
        Path, typer.Argument(metavar="BUNDLE|MODEL", help="A bundle, or a .tflite, .onnx or OpenVINO .xml model.")
    ],
    device: Annotated[str, typer.Option("--device", metavar="ID", help="The device, as edgeai devices lists them.")],
    json: options.Json = False,
) -> int:
    """Check operators, precision, shapes, flash, RAM and delegates; say how to fix what does not fit."""
    from edgeai.checking import check
    from edgeai.cli import output as out

    out.require_file(model)
    found = check(model, device)
    document = found.to_json()
    if json:
        out.print_json(document)
    else:
        _show(model, document)
    return 0 if found.ok else 1


def _show(model: Path, document: Mapping[str, Any]) -> None:
    variant = f" (variant {document['variant']})" if "variant" in document else ""
    verdict = "fits" if document["ok"] else "does not fit"
    typer.echo(f"{model}{variant} {verdict} {document['device']} (profile verified: {document['verified']})")
    for check in document["checks"]:
        typer.echo(f"  {'ok ' if check['ok'] else 'NO '} {check['name']:<12} {check['detail']}")
        if check["mend"]:
            typer.echo(f"      {'→':>12} {check['mend']}")
    for way in document["ways"]:
        state = "eligible" if way["eligible"] else "no"
        share = "" if way["coverage"] is None else f", {way['coverage']:.0%} of the operators"
        typer.echo(f"  way {way['way']} ({way['hardware']}): {state}{share}")
        for left in way["left"]:
            typer.echo(f"      {left['operator']} x{len(left['labels'])}: {left['reason']}")
        for note in way["notes"]:
            typer.echo(f"      note: {note}")
    for note in document["notes"]:
        typer.echo(f"  note: {note}")
    if variant and any(check["mend"] for check in document["checks"]):
        typer.echo("  note: MODEL is the model that the bundle was made from")
    for other in document.get("variants", ()):
        failed = ", ".join(check["name"] for check in other["checks"] if not check["ok"])
        typer.echo(f"  variant {other['id']}: {'fits' if other['ok'] else f'does not fit: {failed}'}")
