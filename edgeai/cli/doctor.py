"""`edgeai doctor`: is everything here that is needed; what stands between a model and a format, or static int8?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeai.cli import options


def command(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="Also check a model: what a format lacks.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="The formats to check: tflite, onnx, openvino or all.")] = "all",
    data: Annotated[
        str | None, typer.Option("--data", help="Samples; finds what goes wrong in static int8 instead.")
    ] = None,
    preprocess: Annotated[
        list[str] | None,
        typer.Option(metavar="STEPS or NAME=STEPS", help="With --data: what is done to samples, as for compress."),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="With --data: the format to check.")] = "tflite",
    fix: Annotated[bool, typer.Option("--fix", help="With --data: compress with the cures that were found.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The bundle that --fix writes. Default: MODEL.edge here.")
    ] = None,
    input_shape: options.InputShapes = None,
    threads: options.Threads = 1,
    work: Annotated[Path | None, typer.Option(help="With --data: folder that keeps finished steps.")] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Check this machine; with a model, what stands in its way; with a model and data, what goes wrong in int8."""
    from edgeai.cli import output as out
    from edgeai_runtime.errors import UsageError
    from edgeai_runtime.manifest import FORMATS

    formats = options.choices(None if to == "all" else to, FORMATS, option="--to")
    chosen = options.choice(format, FORMATS, option="--format")
    if model is not None:
        out.require_file(model)
    shapes = options.parse_input_shapes(input_shape)
    if data is None:
        if fix or preprocess or output is not None:
            raise UsageError("--fix, --preprocess and -o need --data: they are about static int8.")
        return _check(model, formats=formats, shapes=shapes, json=json)
    if model is None:
        raise UsageError("--data needs a model.", hint="edgeai doctor MODEL --data DATA")
    bundle = output or Path(f"{model.stem}.edge")
    if fix:
        out.require_free(bundle, force=force)
    from edgeai.cli.progress import progress
    from edgeai.quantization_diagnosis import diagnose_quantization, fix_quantization

    given: dict[str, Any] = {
        "preprocess": options.named_steps(preprocess),
        "input_shapes": shapes,
        "threads": threads,
        "work": work,
    }
    with progress(quiet=json) as on_step:
        diagnosis = diagnose_quantization(model, data, format=chosen, on_step=on_step, **given)
    document = {"ok": diagnosis.quantization.healthy, **diagnosis.to_json(), "fixed": None}
    if not json:
        from edgeai.cli.doctor_table import render

        render(document)
    if fix and not document["ok"]:
        with progress(quiet=json) as on_step:
            result = fix_quantization(diagnosis, data, on_step=on_step, **given)
        saved = result.save(bundle, force=force)
        document |= {"ok": result.within_budget, "fixed": {**result.to_json(), "bundle": str(saved)}}
        if not json:
            from edgeai.cli.compress_table import render as render_candidates

            typer.echo("")
            render_candidates(document["fixed"])
    if json:
        out.print_json(document)
    return 0 if document["ok"] else 1


def _check(model: Path | None, *, formats: Any, shapes: Any, json: bool) -> int:
    """Look at the machine, and at what a model needs of each format."""
    from edgeai.cli import output as out
    from edgeai.diagnosis import doctor
    from edgeai.model_diagnosis import diagnose_model

    document = doctor().to_json()
    if model is not None:
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
