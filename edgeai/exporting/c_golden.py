"""Recorded samples as initializers of C: for the model, and for the steps around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeai.exporting.c_code import constant
from edgeai.exporting.c_steps import CSteps
from edgeai.exporting.c_tensors import CTensor
from edgeai.exporting.golden import Golden
from edgeai.exporting.rendering import float_literal, rows
from edgeai.exporting.subject import Subject
from edgeai_runtime.engines.boundary import input_adapter, output_adapter
from edgeai_runtime.record import replace
from edgeai_runtime.transforms.pipeline import apply_steps

_EXPONENTIALS = 1e-5
"""Tolerance of steps with exponentials, which every mathematics library rounds in its own way: a share of the largest
result."""


@dataclass(frozen=True, kw_only=True)
class StepSamples:
    """What the steps of one input or output are tested with.

    Attributes:
        given: rows of each sample as the C function takes it.
        result: rows of what the runtime made of it; an input's are those of the model.
        tolerance: how far the C may be off.
    """

    given: tuple[str, ...]
    result: tuple[str, ...]
    tolerance: str


@dataclass(frozen=True, kw_only=True)
class CGolden:
    """Recorded samples for the templates.

    Attributes:
        n: how many.
        inputs, outputs: rows of each sample as the model stores it, and in real numbers.
        atol, rtol: of the outputs.
        before, after: by number of an input or output, where its steps are written.
        size_bytes: of all that.
    """

    n: int
    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[tuple[str, ...], ...]
    atol: tuple[str, ...]
    rtol: tuple[str, ...]
    before: dict[int, StepSamples]
    after: dict[int, StepSamples]
    size_bytes: int


def c_golden(
    subject: Subject,
    golden: Golden,
    outputs: Sequence[CTensor],
    before: Sequence[CSteps] = (),
    after: Sequence[CSteps] = (),
) -> CGolden:
    """Describe recorded samples; tolerances get half a step of a quantized output on top, which is its rounding."""
    steps = [float(each.scale) / 2 if each.scale is not None else 0.0 for each in outputs]
    written = [each for each in (*before, *after) if not each.left_out]
    inputs = tuple(_each(given.stored) for given in golden.inputs)
    return CGolden(
        n=golden.n,
        inputs=inputs,
        outputs=tuple(_each(np.asarray(each.as_stored, np.float32)) for each in golden.outputs),
        atol=tuple(float_literal(each.tolerance.atol + step) for each, step in zip(golden.outputs, steps, strict=True)),
        rtol=tuple(float_literal(each.tolerance.rtol) for each in golden.outputs),
        before={
            each.index: StepSamples(
                given=_each(golden.inputs[each.index].raw),
                result=inputs[each.index],
                tolerance=_tolerance(each, golden.inputs[each.index].stored, whole="1.0"),
            )
            for each in before
            if not each.left_out
        },
        after={each.index: _results(subject, each, golden) for each in after if not each.left_out},
        size_bytes=golden.n * (_sample_bytes(subject, golden) + sum(each.kept_bytes for each in written)),
    )


def _sample_bytes(subject: Subject, golden: Golden) -> int:
    """Return the bytes of a sample as the model takes it, of its outputs in real numbers, and of those as stored."""
    stored: int = sum(given.stored[0].nbytes for given in golden.inputs)
    sizes = zip(golden.outputs, subject.own_outputs, strict=True)
    return stored + sum(int(each.real[0].size) * (4 + np.dtype(own.dtype).itemsize) for each, own in sizes)


def _results(subject: Subject, steps: CSteps, golden: Golden) -> StepSamples:
    """Return what the model stored and what the runtime's post-processing makes of that."""
    outer, own = subject.outputs[steps.index], subject.own_outputs[steps.index]
    real = replace(outer, dtype="float32", quantization=None) if own.quantization is not None else outer
    to_stored, to_real = input_adapter(real, own), output_adapter(own, outer)
    values = np.asarray(golden.outputs[steps.index].real)
    stored = to_stored(values) if to_stored is not None else values
    given = to_real(stored) if to_real is not None else stored
    made = apply_steps(subject.postprocessing.get(outer.name, ()), given)
    if not steps.has_labels:
        return StepSamples(given=_each(stored), result=_each(made), tolerance=_tolerance(steps, made))
    best = tuple(
        "\n".join(f"        {{{each['label']}, {constant(each['score'], np.dtype(np.float32))}}}," for each in row)
        for row in made
    )
    scores = np.array([each["score"] for row in made for each in row])
    return StepSamples(given=_each(stored), result=best, tolerance=_tolerance(steps, scores))


def _tolerance(steps: CSteps, result: Any, *, whole: str = "0.0") -> str:
    if steps.is_exact:
        return "0.0"
    if result.dtype.kind != "f":
        return whole
    return float_literal(_EXPONENTIALS * max(1.0, float(np.abs(result).max(initial=0.0))))


def _each(samples: Any) -> tuple[str, ...]:
    return tuple(_values(np.asarray(sample)) for sample in samples)


def _values(array: Any) -> str:
    """Return the values of an array as rows of an initializer."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "f":
        kind = flat.dtype if flat.dtype == np.float64 else np.dtype(np.float32)
        return rows((constant(value, kind) for value in flat), per_row=8, indent="        ")
    return rows((str(int(value)) for value in flat), per_row=20, indent="        ")
