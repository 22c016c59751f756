"""`edgeai quantize`: one model in one format and one precision, and what that cost and gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai.cli import options

if TYPE_CHECKING:
    from edgeai.quantizing import Quantized


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The trained model: of any kind of source.")],
    to: Annotated[str, typer.Option("--to", help="Format: tflite, onnx or openvino.")],
    data: Annotated[str | None, typer.Option("--data", help="Samples for ranges and to certify on.")] = None,
    precision: Annotated[str, typer.Option(help="float16, dynamic_int8, int8, int4 or int16x8.")] = "int8",
    calibration_data: options.CalibrationData = None,
    certification_data: options.CertificationData = None,
    metric: options.Metric = None,
    max_drop: options.MaxDrop = None,
    repair: Annotated[
        list[str] | None, typer.Option(help="Repair of int8, as for compress, or none. Repeatable. Default: chosen.")
    ] = None,
    exclude: options.Exclude = None,
    boundary: options.Boundary = "float32",
    qoperator: options.QOperator = False,
    recipe: Annotated[Path | None, typer.Option(help="Replay the recipes of a JSON file, without a search.")] = None,
    preprocess: options.Preprocess = None,
    input_shape: options.InputShapes = None,
    threads: options.Threads = 1,
    seed: options.Seed = 0,
    work: options.Work = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The artifact. Default: MODEL-PRECISION with its suffix.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Quantize a model for one engine: a plain file, measured against float and certified."""
    from edgeai.cli import output as out
    from edgeai.cli import quantities
    from edgeai.cli.progress import progress
    from edgeai.quantizing import QUANTIZED, quantize
    from edgeai_converters.recipe import read_recipes
    from edgeai_converters.spec import BOUNDARY_DTYPES
    from edgeai_runtime.manifest import FORMATS

    format, stored = (
        options.choice(to, FORMATS, option="--to"),
        options.choice(precision, QUANTIZED, option="--precision"),
    )
    edge = options.choice(boundary, BOUNDARY_DTYPES, option="--boundary")
    shapes, steps = options.parse_input_shapes(input_shape), options.named_steps(preprocess)
    out.require_file(model)
    with progress(quiet=json) as on_step:
        done = quantize(
            model,
            data,
            to=format,
            precision=stored,
            out=output,
            calibration_data=calibration_data,
            certification_data=certification_data,
            metric=metric,
            max_drop=quantities.parse_fraction(max_drop, option="--max-drop") if max_drop else None,
            repairs=None if repair is None else () if repair == ["none"] else tuple(repair),  # type: ignore[arg-type]
            exclude=dict.fromkeys(exclude or (), "named with --exclude"),
            boundary=edge,
            qoperator=qoperator,
            recipes=read_recipes(out.read_json(recipe), where=str(recipe)) if recipe is not None else (),
            preprocess=steps,
            input_shapes=shapes,
            threads=threads,
            work=work,
            seed=seed,
            force=force,
            on_step=on_step,
        )
    if json:
        out.print_json(done.to_json())
    else:
        _tell(done)
    return 1 if done.broken else 0


def _tell(done: Quantized) -> None:
    from edgeai.cli.output import bytes_in_words, milliseconds_in_words

    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    found, claim, measured = done.candidate, done.candidate.certificate, done.candidate.measurement
    sizes = f"{bytes_in_words(done.float_size_bytes)} → {bytes_in_words(found.size_bytes)}"
    typer.echo(f"{done.files[0]}: {found.recipe.format} in {found.recipe.precision}, {sizes}")
    if claim is not None:
        low, high = (100 * bound for bound in claim.drop_ci95)
        allowed = "" if claim.max_drop is None else f" ({claim.verdict}, allowed {100 * claim.max_drop:.2f})"
        typer.echo(
            f"{claim.metric} on {claim.n} held-out samples: {claim.source_score:.4f} → {claim.score:.4f}; lost "
            f"{100 * claim.drop:.2f} points, with 95 % confidence between {low:.2f} and {high:.2f}{allowed}"
        )
    if measured is not None:
        low, high = measured.speedup_ci95
        typer.echo(
            f"latency in {measured.engine}: {milliseconds_in_words(measured.latency_median_ms)}, "
            f"{measured.speedup_vs_float:.2f} times as fast as float, between {low:.2f} and {high:.2f}"
        )
