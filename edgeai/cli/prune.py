"""`edgeai prune`: a smaller model without what is worth least in it, and what that cost and gave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai.cli import options


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The trained model: of any kind of source.")],
    data: Annotated[str, typer.Option("--data", help="Samples to fit layers and to certify on.")],
    calibration_data: Annotated[str | None, typer.Option(help="Samples for importance and fitting only.")] = None,
    certification_data: options.CertificationData = None,
    method: Annotated[
        str, typer.Option(help="What goes: channels, whole blocks (depth), low-rank, sparse or clusters.")
    ] = "channels",
    share: Annotated[str | None, typer.Option(help="Share to remove, of channels or weights. Default: 30%.")] = None,
    target_latency: Annotated[
        str | None, typer.Option(help="Cut channels until the latency is this share of the whole network's: 50%.")
    ] = None,
    target_size: Annotated[str | None, typer.Option(help="Likewise, of the file's size.")] = None,
    blocks: Annotated[int | None, typer.Option(min=1, help="Blocks to remove (depth). Default: 1.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Zeros (sparse) as 2:4: of 4 neighbours 2 stay.")] = None,
    clusters: Annotated[int | None, typer.Option(min=2, help="Values of a weight (clusters). Default: 16.")] = None,
    engine_format: Annotated[str, typer.Option(help="Engine to measure in: onnx, tflite or openvino.")] = "onnx",
    precision: Annotated[str, typer.Option(help="Precision to measure in: float32 or int8.")] = "float32",
    importance: Annotated[
        str, typer.Option(help="What a channel is worth: l2, l1, activation, taylor or reconstruction.")
    ] = "l2",
    multiple_of: Annotated[int, typer.Option(min=1, help="Round the widths of layers up to multiples of this.")] = 1,
    floor: Annotated[str, typer.Option(help="Share of its channels that a layer keeps at least.")] = "10%",
    no_reconstruct: Annotated[
        bool, typer.Option("--no-reconstruct", help="Only cut; do not refit the remaining layers.")
    ] = False,
    metric: options.Metric = None,
    max_drop: options.MaxDrop = None,
    preprocess: options.Preprocess = None,
    input_shape: options.InputShapes = None,
    threads: options.Threads = 1,
    seed: options.Seed = 0,
    work: options.Work = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The smaller model. Default: MODEL-pruned.onnx.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Take out what is worth least, fit the rest anew, and say what that cost and gave."""
    from edgeai.cli import output as out
    from edgeai.cli import prune_words
    from edgeai.cli.progress import progress
    from edgeai.pruning import prune
    from edgeai_converters.prune.pruning_spec import ENGINE_PRECISIONS, IMPORTANCES, METHODS
    from edgeai_runtime.manifest import FORMATS

    target = output or Path(f"{model.stem}-pruned.onnx")
    way = options.choice(method, METHODS, option="--method")
    worth = options.choice(importance, IMPORTANCES, option="--importance")
    where = options.choice(engine_format, FORMATS, option="--engine-format")
    stored = options.choice(precision, ENGINE_PRECISIONS, option="--precision")
    shapes, steps = options.parse_input_shapes(input_shape), options.named_steps(preprocess)
    out.require_free(target, force=force)
    out.require_file(model)
    with progress(quiet=json) as on_step:
        done = prune(
            model,
            data,
            out=target,
            calibration_data=calibration_data,
            certification_data=certification_data,
            method=way,
            share=_fraction(share, option="--share"),
            target_latency=_fraction(target_latency, option="--target-latency"),
            target_size=_fraction(target_size, option="--target-size"),
            blocks=blocks,
            pattern=prune_words.parse_pattern(pattern) if pattern is not None else None,
            clusters=clusters,
            engine_format=where,
            precision=stored,
            importance=worth,
            multiple_of=multiple_of,
            floor=_fraction(floor, option="--floor") or 0.0,
            reconstruct=not no_reconstruct,
            metric=metric,
            max_drop=_fraction(max_drop, option="--max-drop"),
            preprocess=steps,
            input_shapes=shapes,
            threads=threads,
            seed=seed,
            work=work,
            force=force,
            on_step=on_step,
        )
    if json:
        out.print_json(done.to_json())
    else:
        prune_words.tell(done)
    return 1 if done.pruned.claim.verdict == "violated" or done.pruned.target_verdict == "missed" else 0


def _fraction(text: str | None, *, option: str) -> float | None:
    from edgeai.cli.quantities import parse_fraction

    return None if text is None else parse_fraction(text, option=option)
