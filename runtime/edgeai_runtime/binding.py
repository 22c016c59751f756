"""`Model.run_into`: run on the caller's own arrays, checked once and then as fast as the engine is alone.

A session that can (`bind`) is given the memory of the arrays when they come for the second time; the arrays are known
by identity, so the same objects have to be used again and filled in place. Where the engine cannot, or where the
bundle quantizes or transposes at the boundary, the results are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.engines.arguments import as_array, checked
from edgeai_runtime.engines.chunks import shape_error, shape_text
from edgeai_runtime.errors import DataError

if TYPE_CHECKING:
    from edgeai_runtime.model import Model

#: So many sets of arrays are kept bound, with the memory they hold; double and triple buffers fit.
_MOST_BOUND = 4


class Binder:
    """The sets of arrays that are bound to one model, the last used first."""

    def __init__(self, model: Model, session: Any) -> None:
        self._model = model
        direct = model._run == getattr(session, "run", None)
        self._bind: Callable[..., Callable[[], object] | None] | None = getattr(session, "bind", None)
        if not direct:
            self._bind = None
        self._known: list[tuple[tuple[Any, ...], Callable[[], object] | None]] = []
        self._arrays: tuple[Any, ...] = ()
        self._call: Callable[[], object] | None = None

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run once from `inputs` into `outputs`."""
        arrays = (*inputs, *outputs)
        if self._call is not None and len(arrays) == len(self._arrays) and all(map(is_, arrays, self._arrays)):
            self._call()
            return
        self._run_other(inputs, outputs, arrays)

    def _run_other(self, inputs: Sequence[Any], outputs: Sequence[Any], arrays: tuple[Any, ...]) -> None:
        for place, (known, call) in enumerate(self._known):
            if len(known) == len(arrays) and all(map(is_, arrays, known)):
                if call is None and self._bind is not None and all(array.flags.c_contiguous for array in arrays):
                    call = self._bind(inputs, outputs)
                if call is None:
                    break
                self._known.insert(0, self._known.pop(place))
                self._known[0] = arrays, call
                self._arrays, self._call = arrays, call
                call()
                return
        self._check(inputs, outputs)
        self._copy(inputs, outputs)
        if self._bind is not None and not any(
            len(k) == len(arrays) and all(map(is_, arrays, k)) for k, _ in self._known
        ):
            self._known.insert(0, (arrays, None))
            del self._known[_MOST_BOUND:]

    def _check(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        model = self._model
        if len(inputs) != len(model.inputs):
            raise shape_error(model.inputs, [as_array(s, a) for s, a in zip(model.inputs, inputs, strict=False)])
        if len(outputs) != len(model.outputs):
            raise DataError(
                f"the model has {len(model.outputs)} outputs. Received: {len(outputs)} arrays to write into"
            )
        for spec, array in zip(model.inputs, inputs, strict=True):
            if checked(spec, as_array(spec, array)) is not array:
                raise DataError(
                    f"input {spec.name!r} wants an array of {spec.dtype}. Received: "
                    f"{getattr(array, 'dtype', type(array).__name__)}",
                    hint="run_into converts nothing: make the array once, and fill it in place",
                )
        for spec, array in zip(model.outputs, outputs, strict=True):
            if not isinstance(array, np.ndarray) or not array.flags.writeable or array.dtype != np.dtype(spec.dtype):
                raise DataError(
                    f"output {spec.name!r} wants a writable array of {spec.dtype}. Received: "
                    f"{getattr(array, 'dtype', type(array).__name__)}"
                )
            if any(np.may_share_memory(array, other) for other in (*inputs, *outputs) if other is not array) or any(
                array is other for other in inputs
            ):
                raise DataError(f"output {spec.name!r} shares memory with another array", hint="give it its own")

    def _copy(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        results = self._model.run_raw(inputs)
        for spec, result, array in zip(self._model.outputs, results, outputs, strict=True):
            if result.shape != array.shape or result.dtype != array.dtype:
                raise DataError(
                    f"output {spec.name!r} is {shape_text(result.shape)} {result.dtype}. "
                    f"Received: {shape_text(array.shape)} {array.dtype}"
                )
        for result, array in zip(results, outputs, strict=True):
            array[...] = result
