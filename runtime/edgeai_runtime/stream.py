"""`Model.stream`: what a model keeps between calls, and when it is forgotten.

Two kinds of state: inputs that are fed with outputs of the call before (recurrent state, key/value caches), held here
as arrays; and variables inside the model (LiteRT's LSTM, RNN, SVDF and resource variables, OpenVINO's ReadValue and
Assign), held by a session of the stream's own. A plain call of such a model begins anew every time.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.engines.arguments import as_array, by_input
from edgeai_runtime.engines.chunks import shape_agrees, shape_text
from edgeai_runtime.errors import BundleError, DataError, UsageError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from edgeai_runtime.model import Model

#: Words that tell an input of a state from its output; what is left of the two names has to be the same.
_MARKS = {"in", "input", "past", "prev", "previous", "old", "out", "output", "present", "next", "new", "updated"}
#: One of these has to be in the names: an `image_in` and an `image_out` are no state.
_STATES = {
    "state",
    "states",
    "hidden",
    "cell",
    "cache",
    "memory",
    "key",
    "value",
    "past",
    "present",
    "h",
    "c",
    "k",
    "v",
}


class Stream:
    """A sequence of calls of one model, each going on from the state that the one before left.

    Made by `Model.stream`; ends with its model, or with `close`. Not safe for several threads at once.

    Attributes:
        states: which input is fed with which output.
    """

    def __init__(self, model: Model, states: Mapping[str, str], session: Any) -> None:
        self._model, self.states, self._session = model, dict(states), session
        self._run = model._run if session is None else model._connect(session)
        self._own = [index for index, spec in enumerate(model.inputs) if spec.name not in self.states]
        self._specs = [model.inputs[index] for index in self._own]
        self._arrays: dict[str, Any] = {}
        self._shapes: list[tuple[int, ...]] | None = None

    def __call__(self, x: Any) -> Any:
        """Do what a call of the model does, for the inputs that are no state; outputs that are states stay inside.

        Raises:
            DataError: as a call; or another batch size than in the calls before.
            EngineError: the engine failed; the state is what it was, where it is held in arrays.
        """
        model = self._model
        if model._session is None:
            raise UsageError("the model of this stream was closed", hint="load it again")
        arrays = [as_array(s, v) for s, v in zip(self._specs, by_input(x, self._specs), strict=True)]
        single = bool(arrays) and all(a.ndim == model._ranks[i] - 1 for i, a in zip(self._own, arrays, strict=True))
        if single:
            arrays = [array[np.newaxis] for array in arrays]
        ready = [model._prepare(index, array) for index, array in zip(self._own, arrays, strict=True)]
        self._check_shapes([array.shape for array in ready])
        given = {model.inputs[index].name: array for index, array in zip(self._own, ready, strict=True)}
        batch = ready[0].shape[0] if ready and ready[0].ndim else 1
        given.update({spec.name: self._state(spec, batch) for spec in model.inputs if spec.name in self.states})
        results = self._run([given[spec.name] for spec in model.inputs])
        finished = model._finish(results, single)
        by_name = {spec.name: result for spec, result in zip(model.outputs, results, strict=True)}
        self._arrays = {into: by_name[source] for into, source in self.states.items()}
        finished = {name: value for name, value in finished.items() if name not in self.states.values()}
        return next(iter(finished.values())) if len(finished) == 1 and not isinstance(x, Mapping) else finished

    @property
    def state(self) -> dict[str, Any]:
        """The arrays that go into the next call, by input; empty before the first one. They may be set, to go on."""
        return dict(self._arrays)

    @state.setter
    def state(self, arrays: Mapping[str, Any]) -> None:
        for name, array in arrays.items():
            spec = next((s for s in self._model.inputs if s.name == name and name in self.states), None)
            if spec is None or not shape_agrees(spec.shape, array.shape) or array.dtype != np.dtype(spec.dtype):
                raise DataError(f"there is no state {name!r} of shape {shape_text(array.shape)} and {array.dtype}")
        self._arrays = {**self._arrays, **arrays}

    def reset(self) -> None:
        """Forget the state: the next call is a first one, of any batch size."""
        self._arrays, self._shapes = {}, None
        if self._session is not None:
            self._session.reset_state()

    def clone(self) -> Stream:
        """Return another stream that goes on from here by itself.

        Raises:
            UsageError: the engine does not let its variables be copied.
        """
        session = None
        if self._session is not None:
            session = self._session.open_stream()
            try:
                session.set_state(self._session.get_state())
            except BaseException:
                session.close()
                raise
        other = Stream(self._model, self.states, session)
        other._arrays, other._shapes = dict(self._arrays), self._shapes  # results are never written into
        self._model._streams.add(other)
        return other

    def close(self) -> None:
        """Give back what the stream holds."""
        if self._session is not None:
            self._session.close()
        self._session, self._arrays, self._run = None, {}, _closed

    def __enter__(self) -> Stream:
        """Return the stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the stream."""
        self.close()

    def _state(self, spec: TensorSpec, batch: int) -> Any:
        """Return the state for an input: zeros at first, with no rows along a free axis that is not the batch."""
        known = self._arrays.get(spec.name)
        if known is not None:
            return known
        shape = [batch if not axis and size is None else size or 0 for axis, size in enumerate(spec.shape)]
        return np.zeros(shape, spec.dtype)

    def _check_shapes(self, shapes: list[tuple[int, ...]]) -> None:
        for spec, shape in zip(self._specs, shapes, strict=True):
            if not shape_agrees(spec.shape, shape):  # would be run in chunks, one going on from another
                raise DataError(
                    f"input {spec.name!r} of a stream wants shape {shape_text(spec.shape)}. "
                    f"Received: {shape_text(shape)}",
                    hint="give one step at a time, and each sequence a stream of its own",
                )
        now = [shape if self._session is not None else shape[:1] for shape in shapes]
        if self._shapes not in (None, now):
            raise DataError(
                f"a stream keeps the shape it began with. Received: {', '.join(map(shape_text, shapes))}",
                hint="reset the stream, or begin another one",
            )
        self._shapes = now


def open_stream(model: Model, states: Mapping[str, str] | None) -> Stream:
    """Return a stream of `model`; see `Model.stream`."""
    if model._session is None:
        raise UsageError("the model was closed", hint="load it again")
    if model.manifest is not None and model.manifest.pipeline is not None:
        raise UsageError("a pipeline has no stream", hint="make one of each of model.stages")
    if not model._streams:
        model._streams = weakref.WeakSet()
    if states is None and model.manifest is not None:
        states = model.manifest.metadata.get("states")
        if states is not None and not isinstance(states, dict):
            raise BundleError("the manifest's metadata.states is no object of outputs by input")
    opener = getattr(model._session, "open_stream", None)
    if states is None:
        states = pair_states(model.inputs, model.outputs)
    _check_states(model, states)
    session = opener() if opener is not None else None
    if session is None and not states:
        raise UsageError(
            f"{model!r} has no state: no variables, and no names of inputs and outputs that belong together",
            hint='say which, as in model.stream(states={"h_in": "h_out"})',
        )
    stream = Stream(model, states, session)
    model._streams.add(stream)
    return stream


def pair_states(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """Return outputs by input where the names say that one is the other's next value, and dtype and rank agree.

    `h_in` and `h_out`, `past_key_values.0.key` and `present.0.key`, `state` and `new_state`: what is left without the
    words that tell them apart is the same.
    """
    pairs = {}
    for spec in inputs:
        stem, marks = _stem(spec.name)
        found = [
            other.name
            for other in outputs
            for other_stem, other_marks in (_stem(other.name),)
            if stem == other_stem != () and marks != other_marks and _STATES & {*stem, *marks, *other_marks}
            if other.dtype == spec.dtype and shape_may_be(spec.shape, other.shape)
        ]
        if len(found) == 1:
            pairs[spec.name] = found[0]
    return pairs


def shape_may_be(wanted: Sequence[int | None], given: Sequence[int | None]) -> bool:
    """Say whether a tensor of one shape may go where another is wanted; a free dimension may be anything."""
    return len(wanted) == len(given) and all(
        None in pair or pair[0] == pair[1] for pair in zip(wanted, given, strict=True)
    )


def _stem(name: str) -> tuple[tuple[str, ...], set[str]]:
    """Return the parts of a name without those that tell input from output, and these."""
    parts = [part for part in re.split(r"[^a-z0-9]+", name.lower().replace("past_key_values", "past")) if part]
    return tuple(part for part in parts if part not in _MARKS), {part for part in parts if part in _MARKS}


def _check_states(model: Model, states: Mapping[str, str]) -> None:
    ins, outs = ({spec.name: spec for spec in specs} for specs in (model.inputs, model.outputs))
    for into, source in states.items():
        if into not in ins or source not in outs:
            raise UsageError(
                f"the state {into!r}: {source!r} is no input and output of the model",
                hint=f"inputs: {', '.join(ins)}; outputs: {', '.join(outs)}",
            )
        if ins[into].dtype != outs[source].dtype or not shape_may_be(ins[into].shape, outs[source].shape):
            raise UsageError(f"input {into!r} cannot be fed with output {source!r}: their dtypes or shapes differ")
    if len(set(states.values())) != len(states):
        raise UsageError(f"one output cannot be the state of two inputs. Received: {dict(states)}")
    if states and len(states) == len(model.outputs):
        raise UsageError("every output is a state: nothing would be left of a call")


def _closed(arrays: Sequence[Any]) -> list[Any]:
    raise UsageError("the stream was closed", hint="begin another one with model.stream()")
