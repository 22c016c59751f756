"""`edgeai convert`: one source to one format, behind the parity gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai.cli import options

if TYPE_CHECKING:
    from edgeai_converters.convert.report import Conversion, Explanation

_SUFFIX = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The trained model, a file or a SavedModel folder.")],
    to: Annotated[str, typer.Option("--to", help="The format to write: tflite, onnx or openvino.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The artifact. Default: here.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32, float16 or dynamic_int8; int8 carries over what is quantized already.")
    ] = "float32",
    layout: Annotated[
        str, typer.Option(help="Layout of maps at the artifact's boundary: source, nhwc or nchw.")
    ] = "source",
    input_shape: options.InputShapes = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Fix the free batch dimension of all inputs.")] = None,
    samples: Annotated[str | None, typer.Option(help="Samples for the parity check. Default: drawn inputs.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print the routes that would be tried; run none.")] = False,
    work: Annotated[Path | None, typer.Option(help="Keep what was read here. Default: the cache.")] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Bring a model to another format; outputs that differ from the source's are an error."""
    from edgeai.cli import output as out
    from edgeai.cli.progress import progress
    from edgeai_runtime.manifest import FORMATS, PRECISIONS

    target = options.choice(to, FORMATS, option="--to")
    stored = options.choice(precision, PRECISIONS, option="--precision")
    boundary = options.choice(layout.lower(), ("source", "nhwc", "nchw"), option="--layout")
    out.require_file(model)

    from edgeai import api

    if explain:
        explanation = api.explain(model, target, precision=stored)
        if json:
            out.print_json(explanation.to_json())
        else:
            _print_explanation(explanation)
        return
    artifact = output or Path(model.stem + _SUFFIX[target])
    out.require_free(artifact, force=force)
    with progress(quiet=json) as on_step:
        conversion = api.convert(
            model,
            target,
            out=artifact,
            precision=stored,
            input_shapes=options.parse_input_shapes(input_shape),
            batch=batch,
            layout={"source": None, "nhwc": "NHWC", "nchw": "NCHW"}[boundary],
            samples=samples,
            work=work,
            force=force,
            on_step=on_step,
        )
    if json:
        out.print_json(conversion.to_json())
    else:
        _print_conversion(conversion, stored)


def _print_conversion(conversion: Conversion, precision: str) -> None:
    for note in conversion.notes:
        typer.echo(f"note: {note}", err=True)
    artifact, parity, tolerance = conversion.artifact, conversion.parity, conversion.tolerance
    typer.echo(f"{artifact.path}  ({artifact.format}, {precision}, by {' → '.join(conversion.route)})")
    typer.echo(
        f"held against the source on {parity.n} samples: largest difference {parity.max_abs:.2g} "
        f"({parity.max_rel:.2g} of the range), cosine {parity.cosine:.6f}"
    )
    steps = ""
    if conversion.steps is not None:
        typer.echo(f"integers carried over: {conversion.steps:.1f} steps of an output away")
        steps = f"{tolerance.max_steps} steps, "
    typer.echo(
        f"allowed: {steps}{tolerance.max_rel:g} of the range, cosine {tolerance.min_cosine:g}, "
        f"because {tolerance.reason}"
    )


def _print_explanation(explanation: Explanation) -> None:
    typer.echo(f"{explanation.source} ({explanation.kind}) to {explanation.format}, {explanation.precision}:")
    for number, route in enumerate(explanation.routes, 1):
        typer.echo(
            f"{number}. {' → '.join(route.names)}   [{route.fidelity}, about {route.cost_s:.0f} s, {route.state}]"
        )
        for step in route.steps:
            note = f"  ({step.note})" if step.note else ""
            typer.echo(f"     {step.start} → {step.end} by {step.tool}, about {step.cost_s:g} s{note}")
    typer.echo("Each is tried in turn until one has every operation and answers as the source does. Nothing was run.")
