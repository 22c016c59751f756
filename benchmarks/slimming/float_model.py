"""The float model of a case: a published one, fine-tuned on more images, or a small one trained here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_converters.calibrate.splits import Split
from edgeai_converters.evaluate.metrics import get_metric
from edgeai_converters.float_graph import FloatGraph, make_float_graph
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.train.examples import SplitExamples
from edgeai_converters.train.fine_tune import fine_tune
from edgeai_converters.train.write import write_trained
from edgeai_converters.workfolder import WorkFolder, digest_of, digest_of_path
from edgeai_runtime.manifest import TensorSpec
from edgeai_runtime.transforms.parse import parse_steps
from slimming.cases import Published, SlimCase, StudentCase
from slimming.data import CaseData, read_cifar, read_digits, read_messages, write_splits
from slimming.steps import Steps, tell

_BATCH = 8
_MODEL = "model.onnx"
TOP1 = get_metric("top1", has_labels=True)


def prepare_data(case: SlimCase | StudentCase, assets: Path, steps: Steps) -> CaseData:
    """Return the samples of a case, read once."""
    name = "cifar" if isinstance(case, StudentCase) else case.data

    def make(folder: Path) -> dict[str, Any]:
        readers = {
            "cifar": lambda: read_cifar(assets, limit=case.limit),
            "digits": read_digits,
            "messages": lambda: read_messages(assets),
        }
        write_splits(readers[name](), folder, limit=case.limit)
        return {}

    code = digest_of_path(Path(__file__).with_name("data.py"))
    folder, _ = steps.step("data", {"data": name, "limit": case.limit, "code": code}, make)
    return CaseData(folder=folder, preprocess=case.published.preprocess if case.published else "")


def tuned_model(
    published: Published, assets: Path, data: CaseData, steps: Steps, *, graphs: WorkFolder
) -> tuple[Path, dict[str, Any]]:
    """Return the fine-tuned network as an ONNX file, with `before` and `after`: its scores on the evaluation samples.

    The weights that do best on the calibration samples are kept; those of the evaluation are only scored.
    """
    source = assets / published.model
    key = {"model": digest_of_path(source), "data": data.folder.name, "published": asdict(published)}

    def make(folder: Path) -> dict[str, Any]:
        graph = make_float_graph(source, graphs, input_shapes={})
        checkpoints = graphs.root / f"tuning-{digest_of(key)[:16]}"
        model, training = fine_tune(
            graph.model,
            published.tuning,
            examples_of(data, "training", graph.inputs),
            search=examples_of(data, "calibration", graph.inputs),
            metric=TOP1,
            folder=checkpoints,
            key=digest_of(key),
            on_step=tell("fine-tuning"),
        )
        evaluation = examples_of(data, "evaluation", graph.inputs).split
        outputs = write_trained(model, folder / _MODEL, evaluation.batches(_BATCH))
        scores = {"before": run_graph(graph.model, evaluation), "after": outputs}
        return {
            **{name: TOP1.score(found, evaluation.labels, None) for name, found in scores.items()},
            "training": asdict(training),
        }

    folder, found = steps.step("fine-tuned", key, make)
    return folder / _MODEL, found


def small_model(case: SlimCase, data: CaseData, steps: Steps, *, graphs: WorkFolder) -> tuple[Path, dict[str, Any]]:
    """Return a small network trained here as an ONNX file, with `after`: its score on the evaluation samples."""
    here = Path(__file__).resolve().parent
    code = [digest_of_path(here / name) for name in ("networks.py", "train_small.py")]
    key = {"network": case.network, "epochs": case.epochs, "data": data.folder.name, "code": code}

    def make(folder: Path) -> dict[str, Any]:
        paths = os.pathsep.join(filter(None, [str(here.parent), os.environ.get("PYTHONPATH")]))
        words = [case.network, data.file("training"), str(case.epochs), str(folder)]
        command = [sys.executable, "-m", "slimming.train_small", *words]
        subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "PYTHONPATH": paths})
        graph = make_float_graph(folder / _MODEL, graphs, input_shapes={})
        evaluation = examples_of(data, "evaluation", graph.inputs).split
        return {"after": TOP1.score(run_graph(graph.model, evaluation), evaluation.labels, None)}

    folder, found = steps.step("trained", key, make)
    return folder / _MODEL, found


def examples_of(data: CaseData, name: str, inputs: Sequence[TensorSpec]) -> SplitExamples:
    """Return all samples of `training`, `calibration` or `evaluation`, prepared when they are read."""
    preprocessing = {inputs[0].name: parse_steps(data.preprocess)} if data.preprocess else {}
    dataset = open_dataset(data.file(name), inputs=inputs, preprocessing=preprocessing)
    return SplitExamples(split=Split(dataset=dataset, indices=np.arange(len(dataset))))


def run_graph(model: ir.Model, split: Split) -> dict[str, NDArray[Any]]:
    """Return the outputs of a float graph over a split, `[n, …]` by name."""
    runner = GraphRunner(model)
    parts = [runner.run(batch) for batch in split.batches(_BATCH)]
    return {str(value.name): np.concatenate([part[str(value.name)] for part in parts]) for value in model.graph.outputs}


def graph_of(model: Path, graphs: WorkFolder) -> FloatGraph:
    """Return the float graph of a file, from where it was read before."""
    return make_float_graph(model, graphs, input_shapes={})
