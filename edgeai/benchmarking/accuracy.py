"""The score of a loaded artifact on a data set, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai.benchmarking.opened import Opened
from edgeai.benchmarking.outputs import fit_arrays, real_values
from edgeai.benchmarking.result import Accuracy
from edgeai.benchmarking.spec import BenchSpec
from edgeai_runtime.errors import DataError, UsageError

if TYPE_CHECKING:
    from edgeai_converters.evaluate.metrics import Metric

_BATCH = 32


def measure_accuracy(opened: Opened, spec: BenchSpec) -> Accuracy:
    """Run all samples of `spec.data` through the artifact and score its outputs.

    A bundle's own steps prepare the samples; for a bare artifact those of `spec.preprocess` do, and an integer
    boundary gets the quantized values.

    Raises:
        UsageError: the metric needs a reference (`agreement`), which a benchmark has not.
        DataError: the samples do not fit.
    """
    from edgeai_converters.calibrate.dataset import open_dataset
    from edgeai_converters.evaluate.metrics import get_metric
    from edgeai_runtime.transforms.parse import parse_steps

    assert spec.data is not None
    model, manifest = opened.model, opened.model.manifest
    specs = tuple(each if each.quantization is None else replace(each, dtype="float32") for each in model.inputs)
    if manifest is not None:
        steps: Mapping[str, Any] = manifest.preprocessing
    else:
        given = spec.preprocess or {}
        named = {specs[0].name: given} if isinstance(given, str) else given
        steps = {name: parse_steps(text) for name, text in named.items()}
    data = open_dataset(spec.data, inputs=specs, preprocessing=steps, key_suffix="eval")
    metric = get_metric(spec.metric, has_labels=data.labels is not None)
    if not metric.needs_labels:
        raise UsageError(
            f"A benchmark scores against labels, and {metric.name} compares with a source.",
            hint="Give data with labels y, or leave --data out: `compress` measures agreement.",
        )
    outputs = _run_all(opened, data, specs)
    assert data.labels is not None
    return score_outputs(metric, outputs, data.labels[: len(next(iter(outputs.values())))])


def score_outputs(metric: Metric, outputs: dict[str, Any], labels: Any) -> Accuracy:
    """Return the score with its 95 % interval: Wilson's for 0/1 metrics, else by bootstrap."""
    from edgeai_converters.evaluate.intervals import bootstrap_interval, wilson_interval

    n = len(next(iter(outputs.values())))
    each = metric.per_sample(outputs, labels, None)
    if each is not None and metric.binary:
        interval = wilson_interval(float(np.sum(each)), n)
    else:
        interval = bootstrap_interval(metric.weighted(outputs, labels, None), n, seed=0)
    return Accuracy(
        metric=metric.name,
        score=metric.score(outputs, labels, None),
        ci95=(float(interval[0]), float(interval[1])),
        n=n,
    )


def _run_all(opened: Opened, data: Any, specs: Any) -> dict[str, Any]:
    model = opened.model
    fixed = model.inputs[0].shape[0] if model.inputs[0].shape else None
    size = fixed or (_BATCH if model.manifest is not None else 1)
    rows: list[list[Any]] = []
    for batch in data.batches(np.arange(len(data) - len(data) % size), size):
        arrays = fit_arrays(specs, [batch[spec.name] for spec in specs], model.inputs)
        if arrays is None:
            raise DataError(f"{data.where}: the samples cannot be turned into what {opened.target.artifact} takes.")
        rows.append([np.array(each) for each in real_values(model.outputs, model.run_raw(arrays))])
    names = [spec.name for spec in model.outputs]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*rows, strict=True), strict=True)}
