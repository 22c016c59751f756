"""Opening what is measured: the model, one batch to run it on, and what opening cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai.benchmarking.outputs import (
    draw,
    fit_arrays,
    golden_inputs,
    golden_match,
    real_values,
    samples_of,
    smallest_cosine,
    stage_inputs,
)
from edgeai.benchmarking.targets import PIPELINE, Target

if TYPE_CHECKING:
    from edgeai_runtime.model import Model

MATCH_COSINE = 0.99
"""Bare artifacts match when their outputs point the same way; int8 against float reaches 0.99 unless it is broken."""


@dataclass(kw_only=True)
class Opened:
    """A loaded target.

    Attributes:
        arrays: what it is called with, one array per input, of the target's batch.
        outputs: of the first call.
        match, cosine: see `result.Run.outputs_match`, `outputs_cosine`.
    """

    target: Target
    model: Model
    arrays: list[Any]
    outputs: list[Any]
    load_ms: float
    first_ms: float
    rss_mib: float | None
    match: bool | None
    cosine: float | None = None

    @property
    def batch(self) -> int:
        """How many samples a call answers: those of a file with a fixed batch, whatever was asked for."""
        from edgeai_runtime.bench.model_calls import count_samples

        return count_samples(self.model, self.arrays)

    @property
    def is_emulated(self) -> bool:
        """Whether its hardware is a simulator or a software driver, whose times say nothing."""
        from edgeai_runtime.bench.model_calls import is_emulated

        return is_emulated(self.model)

    @property
    def is_pipeline(self) -> bool:
        """Whether it is several models in one bundle."""
        return self.model.manifest is not None and self.model.manifest.pipeline is not None

    def call(self) -> object:
        """Run it once, without pre- and post-processing."""
        return self.model.run_raw(self.arrays)

    def format(self) -> str:
        """Return the artifact's format; `pipeline` for several models."""
        from edgeai_runtime.engines.table import FORMAT_ENGINES

        if self.is_pipeline:
            return PIPELINE
        if self.model.variant is not None:
            return self.model.variant.format
        engine = self.model.placement.engine
        return next((form for form, name in FORMAT_ENGINES.items() if name == engine), engine)


def open_target(target: Target, *, inputs: Any, others: Sequence[Opened]) -> Opened:
    """Load a target and call it once.

    It is loaded twice: the first time imports the engine, opens a bare file in a child process, checks a delegate that
    is new on this machine, and is not timed.

    Args:
        target: what to load.
        inputs: samples given by the user, or `None`.
        others: what is open already; a bare artifact takes the inputs of one that takes the same thing.

    Raises:
        EdgeAIError: it cannot be loaded or called here.
    """
    from edgeai_runtime import Placement, load
    from edgeai_runtime.bench.memory import resident_mib

    placement = Placement(require=target.delegate) if target.delegate else None
    load(target.path, variant=target.variant, threads=target.threads, placement=placement).close()
    held = [resident_mib()]
    start = time.perf_counter()
    model = load(target.path, variant=target.variant, threads=target.threads, placement=placement, isolate=False)
    load_ms = (time.perf_counter() - start) * 1e3
    held.append(resident_mib())
    try:
        arrays = _arrays(model, target.path, target.batch, inputs, others)
        held.append(resident_mib())  # what drawing inputs imports and keeps is not the model's
        start = time.perf_counter()
        outputs = model.run_raw(arrays)
        first_ms = (time.perf_counter() - start) * 1e3
        held.append(resident_mib())
        match = golden_match(model, target.path)
    except BaseException:
        model.close()
        raise
    return Opened(
        target=target,
        model=model,
        arrays=arrays,
        outputs=outputs,
        load_ms=load_ms,
        first_ms=first_ms,
        rss_mib=_grown(held),
        match=match,
    )


def _grown(held: Sequence[float | None]) -> float | None:
    """Return the growth by loading and by the first call, from the memory before and after each."""
    told = [mib for mib in held if mib is not None]
    return told[1] - told[0] + told[3] - told[2] if len(told) == 4 else None


def _arrays(model: Model, path: Path, batch: int, inputs: Any, others: Sequence[Opened]) -> list[Any]:
    """Return `batch` samples per input: given, golden, those of an artifact that is open already, or drawn."""
    if inputs is not None:
        return model.preprocess(samples_of(inputs, model.inputs, batch))
    if model.manifest is not None:
        stage = stage_inputs(path, batch)
        if stage:
            return stage
        recorded = golden_inputs(path)
        if recorded:
            return model.preprocess(samples_of(recorded, model.inputs, batch))
    for other in others:
        if other.target.batch == batch:
            fitted = fit_arrays(other.model.inputs, other.arrays, model.inputs)
            if fitted is not None:
                return fitted
    return draw(model.inputs, batch)


def match_bare(opened: Sequence[Opened], reference: Sequence[Any] | None) -> None:
    """Hold bare artifacts against the reference, else against the first artifact when both had the same inputs."""
    first = opened[0]
    for each in opened:
        if each.match is not None or each.is_pipeline or (reference is None and first.is_pipeline):
            continue
        if reference is not None:
            expected, got = list(reference), [array[:1] for array in real_values(each.model.outputs, each.outputs)]
        elif (
            each is first
            or each.batch != first.batch
            or fit_arrays(first.model.inputs, first.arrays, each.model.inputs) is None
        ):
            continue
        else:
            expected = real_values(first.model.outputs, first.outputs)
            got = real_values(each.model.outputs, each.outputs)
        each.cosine = smallest_cosine(expected, got)
        each.match = None if each.cosine is None else each.cosine >= MATCH_COSINE
