"""A model as the call that a scenario issues: what lies between the harness, which knows no model, and `run_raw`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.errors import EdgeAIError

if TYPE_CHECKING:
    from edgeai_runtime.model import Model


def count_samples(model: Model, arrays: Sequence[Any]) -> int:
    """Return how many samples a call with `arrays` answers: its first dimension; a vector of fixed length is one."""
    shape = model.inputs[0].shape
    return len(arrays[0]) if len(shape) > 1 or tuple(shape) == (None,) else 1


def is_emulated(model: Model) -> bool:
    """Say whether what it runs on is a simulator or a software driver here, whose times say nothing."""
    from edgeai_runtime.delegates.probe import probe
    from edgeai_runtime.delegates.table import DELEGATES

    return model.placement.delegate in DELEGATES and probe(model.placement.delegate).emulated


@contextmanager
def open_calls(
    model: Model, arrays: Sequence[Any], *, scenario: str, samples_per_query: int = 8
) -> Iterator[tuple[list[Callable[[int], object]], int]]:
    """Give the workers of a scenario, and the batch that each of their calls has.

    `server` and `offline` get as many workers as the model has threads, one thread each, if it can be doubled: as many
    as its queue would have. A query is one call of its own number of samples, where the model takes that; else, and in
    `offline`, the calls have the batch of `arrays`, and as many of them are made as the samples need.

    `model` stays open. `arrays` are what `run_raw` takes.
    """
    batch = count_samples(model, arrays)
    wanted = batch if scenario == "offline" else samples_per_query if scenario == "multi_stream" else 1
    if wanted != batch and all(tuple(spec.shape[:1]) in ((None,), (wanted,)) for spec in model.inputs):
        query = [np.repeat(array[:1], wanted, axis=0) for array in arrays]
        try:
            model.run_raw(query)
            arrays, batch = query, wanted
        except EdgeAIError:  # a dimension said to be free that is not
            pass
    models = [model]
    if scenario in ("server", "offline") and model.threads > 1 and hasattr(model._session, "replicas"):
        from edgeai_runtime.submission import double

        models = double(model, model.threads)

    def worker(one: Model) -> Callable[[int], object]:
        run = one.run_raw

        def issue(samples: int) -> None:
            for _ in range(-(-samples // batch)):
                run(arrays)

        issue.batch = batch  # type: ignore[attr-defined]
        return issue

    try:
        yield [worker(one) for one in models], batch
    finally:
        for one in models:
            if one is not model:
                one.close()
