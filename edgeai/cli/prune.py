"""`edgeai prune`: a smaller model without the channels that are worth least, and what that cost and gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai.cli import options

if TYPE_CHECKING:
    from edgeai_converters.pruning import Pruning


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The trained model: of any kind of source.")],
    data: Annotated[str, typer.Option("--data", help="Samples to fit layers and to certify on.")],
    calibration_data: Annotated[str | None, typer.Option(help="Samples for importance and fitting only.")] = None,
    certification_data: Annotated[str | None, typer.Option(help="Samples for the certificate only.")] = None,
    share: Annotated[str, typer.Option(help="Share of all channels that goes: 30%.")] = "30%",
    importance: Annotated[
        str, typer.Option(help="What a channel is worth: l2, l1, activation, taylor or reconstruction.")
    ] = "l2",
    multiple_of: Annotated[int, typer.Option(min=1, help="Round the widths of layers up to multiples of this.")] = 1,
    floor: Annotated[str, typer.Option(help="Share of its channels that a layer keeps at least.")] = "10%",
    no_reconstruct: Annotated[
        bool, typer.Option("--no-reconstruct", help="Only cut; fit no layer to what is left.")
    ] = False,
    metric: Annotated[str | None, typer.Option(help="As for compress. Default: top1, or agreement.")] = None,
    max_drop: Annotated[str | None, typer.Option(help="Most that may be lost: 1%. Default: no limit.")] = None,
    preprocess: Annotated[
        list[str] | None, typer.Option(metavar="STEPS or NAME=STEPS", help="What is done to samples, as for compress.")
    ] = None,
    input_shape: options.InputShapes = None,
    threads: options.Threads = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything that draws.")] = 0,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps finished steps, for a rerun.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The smaller model. Default: MODEL-pruned.onnx.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Cut the channels that are worth least, fit the rest anew, and say what that cost and gave."""
    from edgeai.cli import output as out
    from edgeai.cli import quantities
    from edgeai.cli.progress import progress
    from edgeai.pruning import prune
    from edgeai_converters.prune.pruning_spec import IMPORTANCES

    target = output or Path(f"{model.stem}-pruned.onnx")
    worth = options.choice(importance, IMPORTANCES, option="--importance")
    part = quantities.parse_fraction(share, option="--share")
    least = quantities.parse_fraction(floor, option="--floor")
    limit = quantities.parse_fraction(max_drop, option="--max-drop") if max_drop else None
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
            share=part,
            importance=worth,
            multiple_of=multiple_of,
            floor=least,
            reconstruct=not no_reconstruct,
            metric=metric,
            max_drop=limit,
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
        _print(done)
    return 1 if done.pruned.claim.verdict == "violated" else 0


def _print(done: Pruning) -> None:
    from edgeai.cli.output import bytes_in_words, milliseconds_in_words

    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    pruned, claim = done.pruned, done.pruned.claim
    before, after = pruned.before, pruned.after
    typer.echo(
        f"{done.artifact}: {pruned.plan.share:.1%} of the channels cut, parameters {before.parameters} → "
        f"{after.parameters}, {bytes_in_words(before.size_bytes)} → {bytes_in_words(after.size_bytes)}"
    )
    if before.macs and after.macs is not None:
        typer.echo(f"multiply-accumulates: {before.macs} → {after.macs} ({after.macs / before.macs:.0%})")
    low, high = (100 * bound for bound in claim.drop_ci95)
    typer.echo(
        f"{claim.metric} on {claim.n} samples apart: {claim.source_score:.4f} → {claim.score:.4f}; lost "
        f"{100 * claim.drop:.2f} points, with 95 % confidence between {low:.2f} and {high:.2f}"
        + (f" ({claim.verdict}, allowed {100 * claim.max_drop:.2f})" if claim.max_drop is not None else "")
    )
    low, high = pruned.latency_ratio_ci95
    typer.echo(
        f"latency in ONNX Runtime: {milliseconds_in_words(pruned.measurement.latency_median_ms)}, "
        f"{pruned.latency_ratio:.2f} of the source's, between {low:.2f} and {high:.2f} ({pruned.verdict})"
    )
