"""Recorded samples of a bundle as the artifact itself takes them, for a self-test on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeai.exporting.subject import Subject
from edgeai_runtime.manifest import Step, Tolerance
from edgeai_runtime.record import replace

_FLOOR = 1e-4
"""Tolerance where the bundle states none: a share of the output's largest value."""


@dataclass(frozen=True, kw_only=True)
class GoldenInput:
    """What one input is given.

    Attributes:
        raw: as an app has it, before pre-processing: [n, …].
        prepared: after pre-processing, as the graph takes it: [n, …].
        stored: as the artifact takes it, after pre-processing and quantization: [n, …].
    """

    raw: Any
    prepared: Any
    stored: Any


@dataclass(frozen=True, kw_only=True)
class GoldenOutput:
    """What one output must be.

    Attributes:
        real: before post-processing, in real numbers: [n, …].
        as_stored: the same in the artifact's layout.
        tolerance: how far another machine's may be from them.
    """

    real: Any
    as_stored: Any
    tolerance: Tolerance


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Samples in the order of the graph's inputs and outputs; `n` of them."""

    n: int
    inputs: tuple[GoldenInput, ...]
    outputs: tuple[GoldenOutput, ...]


def read_golden(subject: Subject, *, most_bytes: int, most_samples: int = 4, with_raw: bool = False) -> Golden | None:
    """Return as many recorded samples as fit, at least one; `None` for a bare model or a bundle without samples.

    Inputs that are text before pre-processing are given as what the tokenizer made of them.

    Args:
        subject: what is exported.
        most_bytes: for inputs as the artifact takes them and outputs in float32.
        most_samples: never more than these.
        with_raw: count the raw samples among the bytes too, where they are numbers.
    """
    import numpy as np

    from edgeai_runtime.engines.boundary import input_adapter
    from edgeai_runtime.errors import BundleError

    if subject.bundle is None or subject.variant is None:
        return None
    try:
        raw = subject.bundle.golden_inputs()
        real = subject.bundle.golden_outputs(subject.variant.id)
    except BundleError:
        return None
    inputs = []
    for outer, own in zip(subject.inputs, subject.own_inputs, strict=True):
        prepared = apply(subject, subject.preprocessing.get(outer.name, ()), raw[outer.name])
        prepared = np.asarray(prepared).astype(outer.dtype, copy=False)
        adapt = input_adapter(outer, own)
        stored = adapt(prepared) if adapt is not None else prepared
        inputs.append(GoldenInput(raw=raw[outer.name], prepared=prepared, stored=stored))
    outputs = []
    for outer, own in zip(subject.outputs, subject.own_outputs, strict=True):
        values = real[outer.name]
        turn = input_adapter(replace(outer, dtype="float32", quantization=None), replace(own, dtype="float32"))
        tolerance = _tolerance(subject.tolerance, outer.name, values)
        as_stored = turn(values) if turn is not None else values
        outputs.append(GoldenOutput(real=values, as_stored=as_stored, tolerance=tolerance))
    count = min(len(each.stored) for each in inputs)
    size = sum(each.stored.nbytes for each in inputs) + sum(4 * each.real.size for each in outputs)
    if with_raw:
        size += sum(each.raw.nbytes for each in inputs if each.raw.dtype.kind in "biuf")
    fitting = max(1, min(most_samples, count, most_bytes * count // max(1, size)))
    return Golden(
        n=fitting,
        inputs=tuple(
            GoldenInput(raw=each.raw[:fitting], prepared=each.prepared[:fitting], stored=each.stored[:fitting])
            for each in inputs
        ),
        outputs=tuple(
            GoldenOutput(real=each.real[:fitting], as_stored=each.as_stored[:fitting], tolerance=each.tolerance)
            for each in outputs
        ),
    )


def apply(subject: Subject, steps: tuple[Step, ...], array: Any) -> Any:
    """Run steps of the bundle with its labels and assets."""
    from edgeai_runtime.transforms.pipeline import apply_steps

    assets = subject.bundle.assets() if subject.bundle is not None else None
    return apply_steps(steps, array, labels=subject.labels, assets=assets)


def _tolerance(stated: Mapping[str, Tolerance], name: str, real: Any) -> Tolerance:
    if name in stated:
        return stated[name]
    return Tolerance(atol=_FLOOR * float(abs(real).max(initial=1.0)), rtol=0.0)
