"""The score of a twin under training, on samples that are not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.evaluate.metrics import Metric
from edgeai_converters.require import require
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.losses import OutputKind, distillation_loss
from edgeai_converters.train.precision import lay_out
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.train.twin import Twin

_BATCH = 64


class SearchScore:
    """The score of a student on the search split: the metric's, or minus the distance to the teacher.

    Args:
        student: scored each time this is called.
        search: the samples.
        wanted: the teacher's outputs for them, `[n, …]`, by the student's names and in its order.
        metric: what is scored, higher for better; an error counts negative.
        kinds: what the outputs mean, for the distance.
        spec: how the student is trained.
        device: where it is.
    """

    def __init__(
        self,
        student: Twin,
        search: Examples,
        wanted: Mapping[str, NDArray[Any]],
        *,
        metric: Metric | None,
        kinds: Mapping[str, OutputKind],
        spec: TrainingSpec,
        device: str,
    ) -> None:
        self._student, self._search, self._wanted = student, search, dict(wanted)
        self._metric, self._kinds, self._spec, self._device = metric, kinds, spec, device

    def __call__(self) -> float:
        """Score the student as it is now."""
        torch = require("torch", extra="torch")
        outputs = outputs_of(self._student, self._search, self._device)
        found = {name: outputs[name] for name in self._wanted}
        if self._metric is not None:
            score = float(self._metric.score(found, self._search.labels, self._wanted))
            return score if self._metric.higher_is_better else -score
        student, teacher = (
            {name: torch.from_numpy(one[name]) for name in self._kinds} for one in (found, self._wanted)
        )
        return -float(distillation_loss(student, teacher, self._kinds, temperature=self._spec.temperature))


def outputs_of(twin: Twin, examples: Examples, device: str) -> dict[str, NDArray[Any]]:
    """Return the outputs of a twin for all samples, `[n, …]` by name."""
    torch = require("torch", extra="torch")
    parts = []
    for start in range(0, len(examples), _BATCH):
        arrays = examples.read(np.arange(start, min(start + _BATCH, len(examples))))
        with torch.no_grad():
            inputs = {name: lay_out(torch.from_numpy(np.array(array)).to(device)) for name, array in arrays.items()}
            parts.append({name: tensor.cpu().numpy() for name, tensor in twin.run(inputs).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in twin.output_names}
