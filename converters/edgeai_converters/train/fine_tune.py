"""Fine-tuning: a float graph trained on labels alone, without a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgeai_converters.evaluate.metrics import Metric
from edgeai_converters.progress import OnStep
from edgeai_converters.require import require
from edgeai_converters.train.device import choose_device
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.loop import Augment, Training, fit
from edgeai_converters.train.losses import OutputKind, label_loss, output_kinds, spread_of, takes_labels
from edgeai_converters.train.normalized import make_normalized_twin
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.precision import choose_precision, run_in
from edgeai_converters.train.score import SearchScore, outputs_of
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.train.twin import Twin, digest_of_graph, make_twin, write_back
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import DataError


def fine_tune(
    model: ir.Model,
    spec: TrainingSpec,
    examples: Examples,
    *,
    search: Examples,
    metric: Metric | None = None,
    augment: Augment | None = None,
    folder: Path | None = None,
    key: str = "",
    on_step: OnStep | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[ir.Model, Training]:
    """Return a copy of the graph trained on the labels of its first output, and what happened.

    Args:
        model: a float graph, simplified; not changed.
        spec: how to train; `temperature` and `label_weight` play no part.
        examples: what to train on: class indices, or targets of the size of the first output.
        search: samples of the search split, with labels; the weights that do best on them are kept.
        metric: what "best" is; by default the smallest loss on the labels. One that asks for a reference is given the
            outputs of the graph as it was.
        augment: changes the inputs of each step.
        folder: where an interrupted training goes on from.
        key: digest of the examples and of `augment`.
        on_step: called after each step; the label tells the time left.
        stop: asked after each step.

    Raises:
        DataError: there are no labels, or they do not fit the first output.
        UnsupportedOperationError: an operator that the twin does not have.
    """
    device = choose_device(spec)
    precision = choose_precision(spec.precision, model, device)
    made = make_normalized_twin(model, examples) if spec.normalize else None
    if made is None:
        twin = make_twin(model)
        made = twin, lambda: write_back(twin, model)
    twin, finish = made
    first, kind = _labelled_output(twin, model, examples)
    twin.to(device)
    spread = spread_of(examples.labels) if kind == "values" else 1.0

    def loss_of(inputs: dict[str, Tensor], labels: Tensor | None) -> Tensor:
        found = run_in(precision, twin, inputs)[first]
        return label_loss(found, labels, kind, smoothing=spec.label_smoothing) / spread

    score: Callable[[], float] = _LabelScore(twin, search, first, kind, device)
    if metric is not None:
        before = outputs_of(twin, search, device)
        score = SearchScore(twin, search, before, metric=metric, kinds={first: kind}, spec=spec, device=device)
    training = fit(
        twin,
        examples,
        loss_of=loss_of,
        score=score,
        spec=spec,
        augment=augment,
        folder=folder,
        key=digest_of([digest_of_graph(model), key, metric.name if metric else None, augment is not None, precision]),
        on_step=on_step,
        stop=stop,
    )
    return finish(), training


class _LabelScore:
    """Minus the loss of one output on the labels of the search split."""

    def __init__(self, twin: Twin, search: Examples, output: str, kind: OutputKind, device: str) -> None:
        if search.labels is None:
            raise DataError("The search split has no labels, and no metric was named that does without.")
        self._twin, self._search, self._output, self._kind, self._device = twin, search, output, kind, device

    def __call__(self) -> float:
        torch = require("torch", extra="torch")
        found = torch.from_numpy(outputs_of(self._twin, self._search, self._device)[self._output])
        return -float(label_loss(found, torch.from_numpy(np.array(self._search.labels)), self._kind))


def _labelled_output(twin: Twin, model: ir.Model, examples: Examples) -> tuple[str, OutputKind]:
    """Return the output that labels belong to and what it means."""
    torch = require("torch", extra="torch")
    if examples.labels is None:
        raise DataError(
            "Fine-tuning needs labels, and these examples have none.",
            hint="Give labelled data, or distil from a teacher: it answers for the labels.",
        )
    if not len(examples):
        raise DataError("There is no example to train on.")
    first = twin.output_names[0]
    kind = output_kinds(model, examples.labels).get(first)
    batch = np.arange(1)
    with torch.no_grad():
        arrays = examples.read(batch)
        output = twin.run({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})[first]
    labels = torch.from_numpy(np.asarray(examples.labels)[batch])
    if kind is None or not takes_labels(output, labels, kind):
        raise DataError(
            f"Labels {['n', *labels.shape[1:]]} of type {labels.dtype} do not fit the first output {first!r}, "
            f"{['n', *output.shape[1:]]}: class indices, or one number per output, are what can be trained on."
        )
    return first, kind
