"""A narrower copy of a network with fresh weights, taught by its source and alone: same seeds, same schedule."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.splits import Split
from edgeai_converters.evaluate.gain import measure_gain
from edgeai_converters.evaluate.intervals import bootstrap_interval
from edgeai_converters.train.augment import make_augment
from edgeai_converters.train.distill import distill
from edgeai_converters.train.examples import SplitExamples
from edgeai_converters.train.fine_tune import fine_tune
from edgeai_converters.train.scaled_copy import scaled_copy
from edgeai_converters.workfolder import WorkFolder, digest_of
from slimming.cases import StudentCase
from slimming.data import CaseData
from slimming.float_model import TOP1, examples_of, graph_of, prepare_data, run_graph, tuned_model
from slimming.rows import Pair, Taught
from slimming.steps import Steps, tell

_OUTPUTS = "outputs.npz"


def run_students(name: str, case: StudentCase, assets: Path, work: WorkFolder, *, code: str) -> Taught:
    """Train the students of a case and return what the teacher was worth."""
    steps = Steps(work=work)
    data = prepare_data(case, assets, steps)
    model, tuned = tuned_model(case.published, assets, data, steps, graphs=work)
    teacher = graph_of(model, work)
    evaluation = examples_of(data, "evaluation", teacher.inputs).split
    assert evaluation.labels is not None
    reference = run_graph(teacher.model, evaluation)
    students = [scaled_copy(teacher.model, width=case.width, seed=seed) for seed in range(case.seeds)]
    pairs, correct = [], []
    for seed, student in enumerate(students):
        found = {
            kind: _student(kind, student, teacher.model, case, data, steps, seed=seed, teacher_digest=teacher.digest)
            for kind in ("alone", "taught")
        }
        gain = measure_gain(TOP1, found["alone"], found["taught"], labels=evaluation.labels, reference=reference)
        right = {kind: TOP1.per_sample(outputs, evaluation.labels, None) for kind, outputs in found.items()}
        assert right["alone"] is not None
        assert right["taught"] is not None
        correct.append(right["taught"].astype(np.float64) - right["alone"])
        pairs.append(
            Pair(
                seed=seed,
                alone=float(right["alone"].mean()),
                taught=float(right["taught"].mean()),
                gain=gain.gain,
                gain_ci95=gain.gain_ci95,
            )
        )
    return Taught(
        case=name,
        title=case.title,
        parameters=count_weights(students[0]),
        source_parameters=count_weights(teacher.model),
        trained_on=min(case.samples, data.count("training")),
        unlabelled=min(case.unlabelled, data.count("training")),
        epochs=case.training.epochs,
        teacher_score=tuned["after"],
        n=len(evaluation),
        pairs=tuple(pairs),
        gain_ci95=interval_over_samples(correct),
        seconds=steps.seconds,
        code=code,
    )


def interval_over_samples(gains: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the 95 % interval of the mean gain when other samples had been drawn, the seeds as they are.

    Args:
        gains: per seed, what each sample gained: -1, 0 or 1, `[n]`.
    """
    of_samples = np.mean(gains, axis=0)
    n = len(of_samples)
    return bootstrap_interval(lambda weights: weights @ of_samples / weights.sum(axis=1), n, seed=0)


def count_weights(model: ir.Model) -> int:
    """Return the number of floats in a graph's constants."""
    constants = (value.const_value for value in model.graph.initializers.values())
    arrays = (constant.numpy() for constant in constants if constant is not None)
    return sum(array.size for array in arrays if array.dtype.kind == "f")


def _student(
    kind: str,
    student: ir.Model,
    teacher: ir.Model,
    case: StudentCase,
    data: CaseData,
    steps: Steps,
    *,
    seed: int,
    teacher_digest: str,
) -> dict[str, NDArray[Any]]:
    """Train one student (`alone` on labels, `taught` by the teacher too) and return its outputs on the evaluation."""
    samples = case.samples if kind == "alone" else case.unlabelled
    epochs = max(1, round(case.training.epochs * case.samples / samples))  # as many steps
    spec = replace(case.training, epochs=epochs, seed=seed)
    key: dict[str, Any] = {
        "kind": kind,
        "spec": asdict(spec),
        "width": case.width,
        "teacher": teacher_digest,
        "data": data.folder.name,
        "samples": samples,
        "augment": "default",
    }

    def make(folder: Path) -> dict[str, Any]:
        examples, search, evaluation = (
            examples_of(data, part, graph_inputs(student)) for part in ("training", "calibration", "evaluation")
        )
        chosen = Split(dataset=examples.split.dataset, indices=examples.split.indices[:samples])
        shared: dict[str, Any] = {
            "augment": make_augment("default", graph_inputs(student))[0],
            "search": search,
            "metric": TOP1,
            "folder": steps.work.root / f"student-{digest_of(key)[:16]}",
            "key": digest_of(key),
            "on_step": tell(f"{kind} {seed}"),
        }
        if kind == "taught":
            model, training = distill(student, teacher, spec, SplitExamples(split=chosen), **shared)
        else:
            model, training = fine_tune(student, spec, SplitExamples(split=chosen), **shared)
        np.savez(folder / _OUTPUTS, **run_graph(model, evaluation.split))
        ir.save(model, folder / "model.onnx")
        return {"training": asdict(training)}

    folder, _ = steps.step(f"{kind}-{seed}", key, make)
    with np.load(folder / _OUTPUTS) as arrays:
        return {name: arrays[name] for name in arrays.files}


def graph_inputs(model: ir.Model) -> Any:
    """Return the inputs of a graph."""
    from edgeai_converters.graph.boundary import input_specs

    return input_specs(model)
