"""`edgeai distill`: one model trained on another's answers, and what that gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeai.cli import options

if TYPE_CHECKING:
    from edgeai_converters.distillation import Distillation


def command(
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="The model that learns; any kind of source.")],
    teacher: Annotated[Path, typer.Option(help="The model it learns from; any kind of source.")],
    train_data: Annotated[str, typer.Option(help="Samples to train on; labels are optional.")],
    data: Annotated[str | None, typer.Option("--data", help="Samples to choose by and to certify on.")] = None,
    certification_data: options.CertificationData = None,
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the training data.")] = 20,
    learning_rate: Annotated[float, typer.Option(help="Highest rate, as a share of a weight's size.")] = 0.01,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per step.")] = 64,
    patience: Annotated[
        int | None, typer.Option(min=1, help="End after so many passes without a better score. Default: never.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Softens class scores.")] = 2.0,
    label_weight: Annotated[float, typer.Option(help="Share of the labels in the loss, 0 to 1.")] = 0.3,
    augment: Annotated[str, typer.Option(help="none, default or module:function.")] = "default",
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="STUDENT=TEACHER", help="Inner values to follow, by their names. Repeatable."),
    ] = None,
    metric: options.Metric = None,
    max_drop: Annotated[str | None, typer.Option(help="Most that may be lost against the teacher: 1%.")] = None,
    preprocess: options.Preprocess = None,
    input_shape: options.InputShapes = None,
    teacher_shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SIZES", help="Fix a free shape of the teacher.")
    ] = None,
    train_on: Annotated[str, typer.Option(help="cpu, cuda, or auto for a GPU where there is one.")] = "auto",
    threads: options.Threads = 1,
    seed: options.Seed = 0,
    work: options.Work = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The student: .onnx or .pt2. Default: STUDENT-distilled.onnx.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> int:
    """Train a student on its teacher's answers, and measure the gain on held-out samples."""
    from edgeai.cli import output as out
    from edgeai.cli import quantities
    from edgeai.cli.progress import progress
    from edgeai.distillation import distill
    from edgeai_converters.train.training_spec import TrainingSpec

    target = output or Path(f"{student.stem}-distilled.onnx")
    chosen: dict[str, Any] = {
        "training": TrainingSpec(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            patience=patience,
            temperature=temperature,
            label_weight=label_weight,
            seed=seed,
            threads=threads,
            device=train_on,
        ),
        "features": options.pairs(feature, option="--feature"),
        "max_drop": quantities.parse_fraction(max_drop, option="--max-drop") if max_drop else None,
        "preprocess": options.named_steps(preprocess),
        "input_shapes": options.parse_input_shapes(input_shape),
        "teacher_shapes": options.parse_input_shapes(teacher_shape),
    }
    out.require_free(target, force=force)
    for path in (student, teacher):
        out.require_file(path)
    with progress(quiet=json) as on_step:
        done = distill(
            student,
            teacher,
            train_data,
            data,
            certification_data=certification_data,
            out=target,
            augment=augment,
            metric=metric,
            work=work,
            force=force,
            on_step=on_step,
            **chosen,
        )
    if json:
        out.print_json(done.to_json())
    else:
        _print(done)
    return 1 if done.after.verdict == "violated" else 0


def _print(done: Distillation) -> None:
    for note in (*done.notes, *(f"augmented: {text}" for text in done.augmentation)):
        typer.echo(f"note: {note}", err=True)
    training, before, after, gain = done.training, done.before, done.after, done.gain
    low, high = (100 * bound for bound in gain.gain_ci95)
    typer.echo(
        f"{done.artifact}: {training.epochs} passes in {training.duration_s:.0f} s, the best was number "
        f"{training.best_epoch}"
    )
    typer.echo(
        f"{after.metric} on {after.n} held-out samples: teacher {after.source_score:.4f}, "
        f"student {before.score:.4f} before, {after.score:.4f} after"
    )
    typer.echo(f"gained: {100 * gain.gain:+.2f} points, with 95 % confidence between {low:+.2f} and {high:+.2f}")
    low, high = (100 * bound for bound in after.drop_ci95)
    typer.echo(f"behind the teacher: {100 * after.drop:+.2f} points, between {low:+.2f} and {high:+.2f}")
