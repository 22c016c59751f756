"""From what the model stores to what an app wants in C: real numbers, the bundle's layout, the steps.

An output whose chain cannot be written is left out, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeai.exporting.c_code import Code, NotWritten, Value, count, element_type, loops
from edgeai.exporting.c_operations import in_words, write_step
from edgeai.exporting.c_steps import LABELS, QUANTIZED, CSteps, at_place, finished, is_same, one_sample, turn
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import Step, TensorSpec


def write_output(stem: str, index: int, own: TensorSpec, outer: TensorSpec, steps: Sequence[Step]) -> CSteps:
    """Write the way from what the model stores to the results of post-processing.

    Args:
        stem: begins the names of the model's header.
        index: of the output.
        own, outer: as the artifact and as the bundle have it.
        steps: its post-processing.
    """
    words = tuple(map(in_words, steps))
    try:
        return _written(stem, index, own, outer, (*turn(own, outer), *steps), words)
    except (NotWritten, EdgeAIError) as error:
        return CSteps(index=index, name=outer.name, words=words, left_out=str(error))


def _written(
    stem: str, index: int, own: TensorSpec, outer: TensorSpec, steps: Sequence[Step], words: tuple[str, ...]
) -> CSteps:
    shape = one_sample(own)
    code = Code(prefix=f"output_{index}", source=element_type(np.dtype(own.dtype)))
    read = _read(f"{stem}_dequantize_{index}", own, outer, at_place(shape))
    value = code.define(shape, np.dtype(outer.dtype), f"return {read};", about="stored, as the bundle has it")
    top = int(steps[-1].params.get("top", 1)) if steps and steps[-1].op == LABELS else None
    written = steps if top is None else steps[:-1]
    for place, step in enumerate(written):
        is_last = top is None and place == len(written) - 1
        value = write_step(code, value, step, into="result" if is_last else None)
    described: dict[str, Any] = {"index": index, "name": outer.name, "words": words}
    if top is None:
        made = count(value.shape) * value.kind.itemsize
        body = loops(value.shape, f"*result++ = {value.here};") if value.name else ""
        return finished(code, body, **described, kind=value.kind.name, shape=value.shape, made_bytes=made)
    if len(value.shape) != 1:
        raise NotWritten(f"'labels' of scores of shape {value.shape} is not written in C")
    top = min(top, value.shape[0])
    return finished(code, _best(value, top), **described, kind=LABELS, shape=(top,), made_bytes=8 * top)


def _read(dequantize: str, own: TensorSpec, outer: TensorSpec, stored: str) -> str:
    """Return the expression of a stored element as the bundle has it."""
    have, want = np.dtype(own.dtype), np.dtype(outer.dtype)
    if is_same(own, outer):
        return stored
    if want == np.float32 and own.dtype in QUANTIZED and own.quantization is not None:
        return f"{dequantize}({stored})"
    if own.quantization is None and (have.kind == want.kind or (have.kind in "iub" and want.kind in "fiu")):
        return f"({element_type(want)}){stored}"
    raise NotWritten(f"no way from {own.dtype} to {outer.dtype} is written in C")


def _best(value: Value, top: int) -> str:
    """Return the statements that put the best scores first, equal ones by index, what is no number last."""
    return (
        f"int32_t found = 0;\nfor (int32_t i0 = 0; i0 < {value.shape[0]}; ++i0) {{\n"
        f"  const float score = (float){value.here};\n  int32_t place = found;\n"
        "  while (place > 0 && is_better(score, result[place - 1].score)) --place;\n"
        f"  if (place == {top}) continue;\n  if (found < {top}) ++found;\n"
        "  for (int32_t at = found - 1; at > place; --at) result[at] = result[at - 1];\n"
        "  result[place].index = i0;\n  result[place].score = score;\n}"
    )
