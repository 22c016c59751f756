"""`edgeai convert`: one source to one format, behind the parity gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options

_SUFFIX = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}


def command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="The trained model: .keras, .h5, .pt2, .onnx or .tflite.")
    ],
    to: Annotated[str, typer.Option("--to", help="The format to write: tflite, onnx or openvino.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The artifact. Default: here.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32, float16 or dynamic_int8; int8 needs data: compress.")
    ] = "float32",
    samples: Annotated[str | None, typer.Option(help="Samples for the parity check. Default: drawn inputs.")] = None,
    input_shape: options.InputShapes = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Bring a model to another format; outputs that differ from the source's are an error."""
    from edgeai.cli import output as out
    from edgeai.cli.progress import progress
    from edgeai_runtime.errors import UsageError
    from edgeai_runtime.manifest import FORMATS, PRECISIONS

    target = options.choice(to, FORMATS, option="--to")
    stored = options.choice(precision, PRECISIONS, option="--precision")
    if stored == "int8":
        raise UsageError(
            "int8 needs samples to calibrate with.", hint=f"edgeai compress {model} --data … --precision int8"
        )
    artifact = output or Path(model.stem + _SUFFIX[target])
    out.require_file(model)
    out.require_free(artifact, force=force)

    from edgeai import api

    with progress(quiet=json) as on_step:
        conversion = api.convert(
            model,
            target,
            out=artifact,
            precision=stored,
            input_shapes=options.parse_input_shapes(input_shape),
            samples=samples,
            force=force,
            on_step=on_step,
        )
    document = conversion.to_json()
    if json:
        out.print_json(document)
        return
    for note in document["notes"]:
        typer.echo(f"note: {note}", err=True)
    parity = document["parity"]
    typer.echo(f"{document['artifact']}  ({document['format']}, {stored}, by {' → '.join(document['route'])})")
    typer.echo(
        f"held against the source on {parity['n']} samples: largest difference {parity['max_abs']:.2g} "
        f"({parity['max_rel']:.2g} of the range), cosine {parity['cosine']:.6f}"
    )
