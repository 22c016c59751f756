"""`edgeai compress`: the smallest and fastest artifacts that keep the accuracy, as one bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeai.cli import options

_STEPS = "STEPS or NAME=STEPS"


def command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="The trained model: .keras, .h5, .pt2, .onnx or .tflite.")
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Samples: .npz, a folder of images, a .csv beside images, module:function."),
    ] = None,
    calibration_data: options.CalibrationData = None,
    certification_data: options.CertificationData = None,
    train_data: Annotated[
        str | None, typer.Option(help="Samples to train on, when nothing cheaper meets the budget.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Make what this device accepts; see edgeai devices.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option("--format", help="Formats to write: tflite,onnx,openvino. Default: all.")
    ] = None,
    precisions: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="Precisions to try: float32,float16,dynamic_int8,int8,int4,int16x8. Default: all but int16x8.",
        ),
    ] = None,
    repair: Annotated[
        list[str] | None,
        typer.Option(
            help="Repair that int8 is made with: equalize, bias_correction, … or none. Repeatable. Default: chosen."
        ),
    ] = None,
    exclude: options.Exclude = None,
    boundary: options.Boundary = "float32",
    qoperator: options.QOperator = False,
    recipe: Annotated[
        Path | None, typer.Option(help="Replay the recipes of a JSON file (a candidate, or a whole search).")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="top1, top5, auc, mae, rmse, agreement, cosine or module:function.")
    ] = None,
    max_drop: Annotated[str, typer.Option(help="Most accuracy that may be lost: 1% (of all samples) or 0.01.")] = "1%",
    max_size: Annotated[str | None, typer.Option(help="Largest artifact: 200KB, 2MiB.")] = None,
    max_latency: Annotated[
        str | None, typer.Option(help="Slowest median: 5ms, or 40% of the float artifact's.")
    ] = None,
    max_memory: Annotated[str | None, typer.Option(help="Largest peak memory: 64MB.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Accept only what the samples prove (certified).")] = False,
    preprocess: Annotated[
        list[str] | None,
        typer.Option(metavar=_STEPS, help="What the runtime does to inputs: cast:float32;scale:factor=0.0039."),
    ] = None,
    fold_preprocessing: Annotated[
        bool, typer.Option("--fold-preprocessing", help="Move these steps into the model where exact and not slower.")
    ] = False,
    postprocess: Annotated[
        list[str] | None, typer.Option(metavar=_STEPS, help="What the runtime does to outputs: softmax;labels:top=3.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="A text file with one class name per line.")] = None,
    prune: Annotated[
        str,
        typer.Option(
            help="Narrower networks, with --train-data: auto (when the limits need them), always (as far as the "
            "drop allows), never."
        ),
    ] = "auto",
    epochs: Annotated[int | None, typer.Option(min=1, help="Most passes over the training data.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest rate in training, as a share of a weight's size.")
    ] = None,
    train_minutes: Annotated[float | None, typer.Option(help="Most minutes that one training takes.")] = None,
    augment: Annotated[str, typer.Option(help="Training samples: none, default or module:function.")] = "default",
    models: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the networks that were trained, as .onnx and .pt2.")
    ] = None,
    input_shape: options.InputShapes = None,
    threads: options.Threads = 1,
    name: Annotated[str | None, typer.Option(help="Name of the bundle. Default: that of the model file.")] = None,
    seed: options.Seed = 0,
    work: options.Work = None,
    html: Annotated[Path | None, typer.Option(help="Write a readable report to this file.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The bundle. Default: NAME.edge here.")] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Find the smallest and fastest artifacts that keep the accuracy, and write them as one bundle."""
    from edgeai.cli import output as out
    from edgeai.cli import quantities
    from edgeai.cli.progress import progress
    from edgeai_converters.recipe import read_recipes
    from edgeai_converters.spec import BOUNDARY_DTYPES, DEFAULT_TRAINING, PRUNINGS
    from edgeai_runtime.manifest import FORMATS, PRECISIONS

    asked: dict[str, Any] = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "max_duration_s": 60 * train_minutes if train_minutes is not None else None,
    }
    latency = quantities.parse_latency(max_latency, option="--max-latency") if max_latency else None
    chosen: dict[str, Any] = {
        "formats": options.choices(formats, FORMATS, option="--format") if formats is not None else None,
        "precisions": options.choices(precisions, PRECISIONS, option="--precision") if precisions is not None else None,
        "boundary": options.choice(boundary, BOUNDARY_DTYPES, option="--boundary"),
        "prune": options.choice(prune, PRUNINGS, option="--prune"),
        "training": replace(DEFAULT_TRAINING, **{name: value for name, value in asked.items() if value is not None}),
        "max_drop": quantities.parse_fraction(max_drop, option="--max-drop"),
        "max_size": quantities.parse_size(max_size, option="--max-size") if max_size else None,
        "max_latency": latency.milliseconds if latency else None,
        "max_latency_ratio": latency.ratio if latency else None,
        "max_memory": quantities.parse_memory(max_memory, option="--max-memory") if max_memory else None,
        "preprocess": options.named_steps(preprocess),
        "postprocess": options.named_steps(postprocess),
        "input_shapes": options.parse_input_shapes(input_shape),
    }
    bundle = output or Path(f"{name or model.stem}.edge")
    for path in (bundle, html):
        if path is not None:
            out.require_free(path, force=force)
    out.require_file(model)
    if repair is not None:
        chosen["repairs"] = () if repair == ["none"] else tuple(repair)
    if exclude is not None:
        chosen["exclude"] = dict.fromkeys(exclude, "named with --exclude")
    if recipe is not None:
        chosen["recipes"] = read_recipes(out.read_json(recipe), where=str(recipe))
    if labels is not None:
        chosen["labels"] = out.read_lines(labels)

    from edgeai import api

    with progress(quiet=json) as on_step:
        result = api.compress(
            model,
            data,
            calibration_data=calibration_data,
            certification_data=certification_data,
            device=device,
            train_data=train_data,
            qoperator=qoperator,
            fold_preprocessing=fold_preprocessing,
            metric=metric,
            strict=strict,
            threads=threads,
            augment=augment,
            name=name,
            work=work,
            seed=seed,
            on_step=on_step,
            **chosen,
        )
    saved = result.save(bundle, force=force)
    if models is not None:
        result.save_models(models, force=force)
    if html is not None:
        out.write_text(html, result.report_html())
    document = {**result.to_json(), "bundle": str(saved)}
    if json:
        out.print_json(document)
    else:
        from edgeai.cli.compress_table import render

        render(document, html=html)
    return 0 if result.within_budget else 1
