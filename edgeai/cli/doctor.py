"""`edgeai doctor`: is everything here that is needed, and what stands between a model and a format?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="Also look for operations that a format does not have.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="The formats to ask: tflite, onnx, openvino or all.")] = "all",
    input_shape: options.InputShapes = None,
    json: options.Json = False,
) -> int:
    """Check Python, packages, engines, instruction set and cache; with a model, what stands in its way."""
    from edgeai.cli import output as out
    from edgeai.diagnosis import doctor
    from edgeai.model_diagnosis import diagnose_model
    from edgeai_runtime.manifest import FORMATS

    formats = FORMATS if to == "all" else options.choices(to, FORMATS, option="--to")
    if model is not None:
        out.require_file(model)
    document = doctor().to_json()
    if model is not None:
        shapes = options.parse_input_shapes(input_shape)
        document["model"] = diagnose_model(model, formats=formats, input_shapes=shapes).to_json()
    ok = document["ok"] and (model is None or document["model"]["ok"])
    if json:
        out.print_json({**document, "ok": ok})
        return 0 if ok else 1
    groups = [document["checks"]] + ([document["model"]["checks"]] if model is not None else [])
    for checks in groups:
        for check in checks:
            mark = {"ok": "ok     ", "missing": "missing", "warning": "note   ", "failed": "FAILED "}[check["state"]]
            typer.echo(f"{mark} {check['name']:<24} {check['detail']}")
            if check["hint"]:
                typer.echo(f"{'':<32} → {check['hint']}")
    typer.echo("ready" if ok else "something essential is missing or broken")
    return 0 if ok else 1
