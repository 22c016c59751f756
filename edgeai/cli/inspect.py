"""`edgeai inspect`: what is in a model or bundle, without running it."""

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
    json: options.Json = False,
) -> None:
    """Show inputs, outputs, operators, parameters, MACs, size and precision."""
    from edgeai.cli import output as out
    from edgeai.inspection import inspect

    out.require_file(model)
    document = inspect(model).to_json()
    if json:
        out.print_json(document)
        return
    typer.echo(f"{model}: {document['format']}, {out.bytes_in_words(document['size_bytes'])}")
    for kind in ("inputs", "outputs"):
        for tensor in document[kind]:
            typer.echo(f"  {kind[:-1]:<11} {_tensor(tensor)}")
    variants = document.get("variants")
    if variants is None:
        _show_content(document, indent="  ")
        return
    for variant in variants:
        size = out.bytes_in_words(variant["size_bytes"])
        typer.echo(f"\n  variant {variant['id']}: {variant['format']} {variant['declared_precision']}, {size}")
        _show_content(variant, indent="    ")


def _show_content(document: Mapping[str, Any], *, indent: str) -> None:
    operators = ", ".join(f"{name} x{count}" for name, count in document["operators"].items())
    macs = document["macs"]
    typer.echo(f"{indent}parameters  {document['parameters']:,}")
    typer.echo(f"{indent}MACs        {'unknown' if macs is None else f'{macs:,}'} (batch 1)")
    typer.echo(f"{indent}precision   {document['precision']}{_mix(document['precision_mix'])}")
    typer.echo(f"{indent}operators   {operators or '-'}")
    for key, text in document["metadata"].items():
        typer.echo(f"{indent}metadata    {key}: {text}")
    for note in document["notes"]:
        typer.echo(f"{indent}note        {note}")


def _mix(shares: Mapping[str, float]) -> str:
    if len(shares) < 2:
        return ""
    parts = (f"{_percent(share)} {name}" for name, share in shares.items())
    return f" ({', '.join(parts)} of the MACs)"


def _percent(share: float) -> str:
    """A share that is neither nothing nor all never reads as 0 or 100 %."""
    return "<0.1%" if share < 0.001 else ">99.9%" if share > 0.999 else f"{share:.1%}"


def _tensor(tensor: Mapping[str, Any]) -> str:
    from edgeai.cli.output import shape_in_words

    quantization = tensor.get("quantization")
    stored = f", scale {quantization['scale']:.6g}, zero point {quantization['zero_point']}" if quantization else ""
    layout = f" {tensor['layout']}" if tensor.get("layout") else ""
    return f"{tensor['name']}  {tensor['dtype']} {shape_in_words(tensor['shape'])}{layout}{stored}"
