"""From a raw sample to the model's input in C: the steps, the artifact's layout, quantization.

Where the chain ends in steps on single bytes, they and quantization are one table (`c_lookup`). An input whose chain
cannot be written is left out, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeai.exporting.c_code import Code, NotWritten, Value, count, element_type, loops
from edgeai.exporting.c_lookup import VALUE_STEPS, Lookup, find_lookup
from edgeai.exporting.c_operations import in_words, require_written, write_step
from edgeai.exporting.c_steps import QUANTIZED, CSteps, at_place, finished, is_same, one_sample, turn
from edgeai_runtime.engines.boundary import input_adapter
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import Step, TensorSpec
from edgeai_runtime.record import replace
from edgeai_runtime.transforms.pipeline import apply_steps


def write_input(
    stem: str, index: int, outer: TensorSpec, own: TensorSpec, steps: Sequence[Step], raw: Any = None
) -> CSteps:
    """Write the way from a raw sample to the model's input.

    Args:
        stem: begins the names of the model's header.
        index: of the input.
        outer, own: as the bundle and as the artifact have it.
        steps: its pre-processing.
        raw: recorded samples [n, …], which say the raw type and shape; `None` where there are none.
    """
    words = tuple(map(in_words, steps))
    try:
        if raw is None and steps:
            raise NotWritten("no recorded samples say what the raw data are")
        if raw is None:
            raw = np.zeros((1, *one_sample(outer)), outer.dtype)
        return _written(stem, index, outer, own, (*steps, *turn(outer, own)), raw, words)
    except (NotWritten, EdgeAIError) as error:
        return CSteps(index=index, name=outer.name, words=words, left_out=str(error))


def _written(
    stem: str, index: int, outer: TensorSpec, own: TensorSpec, steps: Sequence[Step], raw: Any, words: tuple[str, ...]
) -> CSteps:
    shape, kind = raw.shape[1:], raw.dtype
    taken = one_sample(own)
    if kind.kind not in "biuf":
        raise NotWritten("text is not written in C")
    require_written(steps)
    code = Code(prefix=f"input_{index}", source=element_type(kind))
    value = code.define(shape, kind, f"return {at_place(shape)};", about="raw")
    lookup = _lookup(outer, own, steps, np.zeros((1, *shape), kind))
    for step in (*steps[: lookup.start], *lookup.moves) if lookup is not None else steps:
        value = write_step(code, value, step)
    if count(value.shape) != count(taken):
        raise NotWritten(f"the steps give {value.shape}, the model takes {taken}")
    if lookup is not None:
        one = len(lookup.rows) == 1
        table = code.table("stored", lookup.rows[0] if one else lookup.rows)
        stored = f"{table}{'' if one else f'[i{lookup.axis}]'}[(uint8_t){value.here}]"
    else:
        stored = _stored(f"{stem}_quantize_{index}", value, outer, own)
    described: dict[str, Any] = {"index": index, "name": outer.name, "words": words, "kind": kind.name, "shape": shape}
    described["made_bytes"] = count(taken) * np.dtype(own.dtype).itemsize
    return finished(code, loops(value.shape, f"*stored++ = {stored};"), **described, is_table=lookup is not None)


def _lookup(outer: TensorSpec, own: TensorSpec, steps: Sequence[Step], zeros: Any) -> Lookup | None:
    is_moved = is_same(outer, own) and not any(step.op in VALUE_STEPS for step in steps)
    if own.dtype not in QUANTIZED or is_moved:
        return None
    traced = [zeros]
    for step in steps:
        traced.append(apply_steps([step], traced[-1]))
    return find_lookup(steps, traced, _store(outer, own))


def _store(outer: TensorSpec, own: TensorSpec) -> Callable[[Any], Any]:
    """Return what the runtime does with numbers after the steps: the bundle's type, then the artifact's."""
    adapt = input_adapter(replace(outer, layout=None), replace(own, layout=None))

    def store(array: Any) -> Any:
        prepared = np.asarray(array).astype(outer.dtype, copy=False)
        return adapt(prepared) if adapt is not None else prepared

    return store


def _stored(quantize: str, value: Value, outer: TensorSpec, own: TensorSpec) -> str:
    """Return the expression of what is stored of a value."""
    kind, want = np.dtype(outer.dtype), np.dtype(own.dtype)
    if value.kind != kind and value.kind.kind == "f" and kind.kind != "f":
        raise NotWritten(f"the steps give {value.kind.name}, the bundle says {kind.name}, and no cast is among them")
    prepared = value.here if value.kind == kind else f"({element_type(kind)}){value.here}"
    if is_same(outer, own):
        return prepared
    if kind == np.float32 and own.dtype in QUANTIZED and own.quantization is not None:
        return f"{quantize}({prepared})"
    if own.quantization is None and (kind.kind == want.kind or (kind.kind in "iub" and want.kind in "fiu")):
        return f"({element_type(want)}){prepared}"
    raise NotWritten(f"no way from {kind.name} to {own.dtype} is written in C")
