"""`edgeai.distillation.distill`: a model trained on another's answers, in plain arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_converters.progress import OnStep
from edgeai_converters.spec import DataSpec, DistillSpec
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.cache import cache_folder
from edgeai_runtime.errors import OutputError
from edgeai_runtime.transforms.parse import parse_steps

if TYPE_CHECKING:
    from edgeai_converters.distillation import Distillation

PathLike = str | os.PathLike[str]
Shapes = Mapping[str, Sequence[int]] | None


def distill(
    student: Any,
    teacher: Any,
    train_data: PathLike,
    data: PathLike | None = None,
    *,
    out: PathLike | None = None,
    certification_data: PathLike | None = None,
    training: TrainingSpec | None = None,
    augment: str = "default",
    features: Mapping[str, str] | None = None,
    metric: str | None = None,
    max_drop: float | None = None,
    preprocess: str | Mapping[str, str] | None = None,
    input_shapes: Shapes = None,
    teacher_shapes: Shapes = None,
    work: PathLike | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Distillation:
    """Train a student to answer as its teacher does, and say on samples apart what that gave.

    Args:
        student: path of the model that learns, of any kind that can be a source, or a live Keras or PyTorch model.
        teacher: path of the model it learns from, or a live one; of the same task, in whatever architecture.
        train_data: samples to train on, as for `compress`; labels are optional.
        data: samples to choose by and to certify on; none of them may be in `train_data`.
        out: the file to write, `.onnx` or `.pt2`; by default the student's name with `-distilled.onnx`.
        certification_data: samples for the certificate, in place of a part of `data`.
        training: epochs, learning rate, temperature, weight of labels, seed, threads, device.
        augment: `none`, `default` (by the form of the inputs), or `module:function`.
        features: inner values of the student's graph to lead to those of the teacher's graph, by name.
        metric: as for `compress`.
        max_drop: what the student may lose against the teacher; only judged, for the certificate.
        preprocess: steps from a sample to the models' input, as for `compress`.
        input_shapes: fixed shapes by input name of the student.
        teacher_shapes: fixed shapes by input name of the teacher.
        work: folder where finished steps are kept; an interrupted call goes on there.
        force: overwrite.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError, DataError, ModelError: bad input.
        OutputError: `out` exists and `force` is not set.

    Example:
        >>> from edgeai.distillation import distill
        >>> done = distill("small.onnx", "large.keras", "train.npz", "test.npz", out="taught.onnx")  # doctest: +SKIP
        >>> done.gain.gain, done.after.verdict  # doctest: +SKIP
    """
    from edgeai_converters.distillation import distill_sources

    is_path, is_teacher_path = (isinstance(one, str | os.PathLike) for one in (student, teacher))
    given = {"": preprocess} if isinstance(preprocess, str) else dict(preprocess or {})
    spec = DistillSpec(
        student=Path(student) if is_path else Path(type(student).__name__),
        teacher=Path(teacher) if is_teacher_path else Path(type(teacher).__name__),
        data=DataSpec(data=_text(data), certification=_text(certification_data), training=_text(train_data)),
        training=training or TrainingSpec(),
        metric=metric,
        max_drop=max_drop,
        augment=augment,
        features=dict(features or {}),
        preprocessing={name: parse_steps(text) for name, text in given.items()},
        input_shapes={name: tuple(shape) for name, shape in (input_shapes or {}).items()},
        teacher_shapes={name: tuple(shape) for name, shape in (teacher_shapes or {}).items()},
    )
    target = Path(out) if out is not None else Path(f"{spec.student.stem}-distilled.onnx")
    if target.exists() and not force:
        raise OutputError(f"{target} exists already.", hint="Pass force=True to overwrite it.")
    return distill_sources(
        spec,
        target,
        WorkFolder(Path(work) if work is not None else cache_folder() / "work"),
        live_student=None if is_path else student,
        live_teacher=None if is_teacher_path else teacher,
        on_step=on_step,
    )


def _text(path: PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)
