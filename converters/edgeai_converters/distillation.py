"""Distillation as a job: student and teacher → float graphs → training → the written student, certified.

Finished steps are kept in the work folder; a training that was interrupted goes on from its last whole pass. Scores of
the student before and after are those of its graph in ONNX Runtime on the certification split; the "after" is that of
the written file when it is ONNX.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset_function import digest_of_function
from edgeai_converters.calibrate.splits import Split
from edgeai_converters.evaluate.certificate import certify
from edgeai_converters.evaluate.evidence import Evidence
from edgeai_converters.evaluate.gain import Gain, measure_gain
from edgeai_converters.evaluate.metrics_outputs import classes_of_output
from edgeai_converters.float_graph import FloatGraph, make_float_graph
from edgeai_converters.pipeline import name_steps
from edgeai_converters.progress import OnStep
from edgeai_converters.spec import Budget, CompressSpec, DistillSpec
from edgeai_converters.train.augment import make_augment
from edgeai_converters.train.distill import distill
from edgeai_converters.train.examples import SplitExamples
from edgeai_converters.train.loop import Training
from edgeai_converters.train.teacher import Teacher
from edgeai_converters.train.write import write_trained
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Certificate

SUFFIXES = (".onnx", ".pt2")

_GRAPH_FILE, _TRAINING_FILE = "graph.onnx", "training.json"


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """What came of a distillation.

    Attributes:
        spec: what was asked.
        model: the trained graph.
        artifact: the written file.
        before: what the student lost against the teacher before the training.
        after: what it loses after.
        gain: what the training gave, paired on the same samples.
        training: what happened in the training.
        counts: samples per purpose.
        augmentation: what was done to which input, in words.
        notes: what a user should know.
        duration_s: time it took.
        reused: steps found finished in the work folder.
    """

    spec: DistillSpec
    model: ir.Model
    artifact: Path
    before: Certificate
    after: Certificate
    gain: Gain
    training: Training
    counts: dict[str, int]
    augmentation: tuple[str, ...]
    notes: tuple[str, ...]
    duration_s: float
    reused: int

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON document of `edgeai distill --json`."""
        return {
            "student": str(self.spec.student),
            "teacher": str(self.spec.teacher),
            "artifact": str(self.artifact),
            "format": self.artifact.suffix[1:],
            "size_bytes": self.artifact.stat().st_size,
            "metric": self.after.metric,
            "teacher_score": self.after.source_score,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "gain": asdict(self.gain),
            "training": asdict(self.training),
            "data": self.counts,
            "augmentation": list(self.augmentation),
            "notes": list(self.notes),
            "tools": tool_versions(),
            "duration_s": self.duration_s,
            "resumed_steps": self.reused,
        }


def distill_sources(
    spec: DistillSpec,
    target: Path,
    work: WorkFolder,
    *,
    live_student: object | None = None,
    live_teacher: object | None = None,
    on_step: OnStep | None = None,
) -> Distillation:
    """Train the student on the teacher's answers and write it to `target` (`.onnx` or `.pt2`).

    Args:
        spec: what is wanted.
        target: the file to write; it is overwritten.
        work: where finished steps and checkpoints are kept.
        live_student, live_teacher: live Keras or PyTorch models in place of the files.
        on_step: progress; while training the label tells the time left.

    Raises:
        UsageError: student and teacher do not belong together, or the target has another suffix.
        DataError: samples that are trained on are also among those that accuracy is measured on.
    """
    if target.suffix not in SUFFIXES:
        raise UsageError(f"The student is written as {' or '.join(SUFFIXES)}. Received: {target.name}")
    started = time.monotonic()
    tell = on_step or (lambda done, total, label: None)
    tell(0, 4, "reading the student")
    student = make_float_graph(live_student or spec.student, work, input_shapes=spec.input_shapes)
    tell(1, 4, "reading the teacher")
    teacher = make_float_graph(live_teacher or spec.teacher, work, input_shapes=spec.teacher_shapes)
    tell(2, 4, "reading the data")
    evidence = _open(spec, student, work)
    assert evidence.training is not None
    _, augmentation = make_augment(spec.augment, student.inputs)
    model, training = _train(spec, student, teacher, evidence, work, on_step)
    tell(3, 4, "certifying")
    certification = evidence.splits.certification
    reference = _answers(
        Teacher(teacher.model, student.model, labels=certification.labels, threads=spec.training.threads), certification
    )
    before = evidence.source_outputs("certification")
    after = write_trained(model, target, certification.batches(_BATCH), threads=spec.training.threads)
    claims = [
        certify(
            evidence.metric,
            source_outputs=reference,
            outputs=outputs,
            labels=certification.labels,
            max_drop=spec.max_drop,
            split="certification",
        )
        for outputs in (before, after)
    ]
    counts = {"training": len(evidence.training), **evidence.counts()}
    return Distillation(
        spec=spec,
        model=model,
        artifact=target,
        before=claims[0],
        after=claims[1],
        gain=measure_gain(evidence.metric, before, after, labels=certification.labels, reference=reference),
        training=training,
        counts={name: n for name, n in counts.items() if name != "calibration"},
        augmentation=augmentation,
        notes=(*student.notes, *teacher.notes, *evidence.notes, *_notes(training)),
        duration_s=time.monotonic() - started,
        reused=work.reused,
    )


_BATCH = 8


def _open(spec: DistillSpec, student: FloatGraph, work: WorkFolder) -> Evidence:
    """Open the data for the student, and check that labels are what its output can be compared with."""
    asked = CompressSpec(
        source=spec.student,
        data=spec.data,
        metric=spec.metric,
        budget=Budget(max_drop=spec.max_drop),
        preprocessing=name_steps(spec.preprocessing, student.inputs, what="input"),
        threads=spec.training.threads,
        seed=spec.training.seed,
    )
    evidence = Evidence(asked, student, work)
    assert evidence.training is not None
    if evidence.metric.needs_class_labels and evidence.training.labels is not None:
        evidence.training.dataset.check_labels(classes_of_output(student.outputs[0]))
    return evidence


def _train(
    spec: DistillSpec,
    student: FloatGraph,
    teacher: FloatGraph,
    evidence: Evidence,
    work: WorkFolder,
    on_step: OnStep | None,
) -> tuple[ir.Model, Training]:
    """Return the trained graph, from the work folder when it was trained before."""
    assert evidence.training is not None
    examples = SplitExamples(split=evidence.training)
    augment, _ = make_augment(spec.augment, student.inputs)
    key = {
        "student": student.digest,
        "teacher": teacher.digest,
        "data": evidence.digest,
        "training_data": evidence.training.dataset.digest,
        "training": asdict(spec.training),
        "metric": spec.metric,
        "augment": [spec.augment, digest_of_function(spec.augment)],
        "features": spec.features,
        "tools": tool_versions(),
    }
    checkpoints = work.root / f"training-{digest_of(key)[:20]}"

    def make(folder: Path) -> None:
        model, training = distill(
            student.model,
            teacher.model,
            spec.training,
            examples,
            search=SplitExamples(split=evidence.splits.search),
            metric=evidence.metric if evidence.metric.needs_labels or spec.metric else None,
            augment=augment,
            features=spec.features,
            folder=checkpoints,
            key=digest_of(key),
            on_step=on_step,
        )
        ir.save(model, folder / _GRAPH_FILE)
        (folder / _TRAINING_FILE).write_text(json.dumps(asdict(training)))

    made = work.step("distilled", key, make)
    shutil.rmtree(checkpoints, ignore_errors=True)
    document: dict[str, Any] = json.loads((made / _TRAINING_FILE).read_text())
    found: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in document.items()}
    return ir.from_proto(ir.to_proto(ir.load(made / _GRAPH_FILE))), Training(**found)


def _answers(teacher: Teacher, split: Split) -> dict[str, NDArray[Any]]:
    parts: list[Mapping[str, NDArray[Any]]] = [teacher(batch) for batch in split.batches(_BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _notes(training: Training) -> tuple[str, ...]:
    if training.ended == "diverged":
        return ("The training diverged; the best weights before that are kept. Try a lower learning rate.",)
    if training.best_epoch == 0:
        return ("No pass did better on the search split than the student as it was: it is unchanged.",)
    return ()
