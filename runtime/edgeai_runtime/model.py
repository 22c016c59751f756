"""A loaded bundle or bare artifact: the object an app holds and calls. `loading.py` makes it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.engines.arguments import as_array, by_input, checked
from edgeai_runtime.engines.boundary import connect
from edgeai_runtime.engines.chunks import shape_error
from edgeai_runtime.errors import BundleError, UsageError
from edgeai_runtime.manifest import Manifest, Step, TensorSpec, Variant
from edgeai_runtime.placement import PlacementReport
from edgeai_runtime.record import replace

if TYPE_CHECKING:
    from concurrent.futures import Future

    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.engines.protocol import Session
    from edgeai_runtime.footprint import Memory
    from edgeai_runtime.stream import Stream
    from edgeai_runtime.submission import Submission


class Model:
    """A loaded model. Call it with one array, or with a dict of arrays by input name.

    Made by `load`. Not safe for several threads at once: load it once per thread, or `submit`.

    Attributes:
        inputs: what `run_raw` takes: the tensors after pre-processing.
        outputs: what `run_raw` gives: the tensors before post-processing.
        variant: the variant in use; `None` for a bare artifact.
        manifest: of the bundle; `None` for a bare artifact.
        threads: how many threads the engine was given.
    """

    def __init__(self, session: Session, *, variant: Variant | None, bundle: Bundle | None, threads: int) -> None:
        self._session: Any = session
        self.variant, self.threads = variant, threads
        self.manifest: Manifest | None = bundle.manifest if bundle is not None else None
        self.inputs: tuple[TensorSpec, ...] = self.manifest.inputs if self.manifest else session.inputs
        self.outputs: tuple[TensorSpec, ...] = self.manifest.outputs if self.manifest else session.outputs
        self._chosen: dict[str, Any] = {}  # what `loading` adds to the engine's report: attempts, measured
        labels = bundle.labels() if bundle is not None else ()
        assets = bundle.assets() if bundle is not None else {}
        before = self.manifest.preprocessing if self.manifest else {}
        after = self.manifest.postprocessing if self.manifest else {}
        self._before = _steps(self.inputs, before, (), assets)
        self._after = _steps(self.outputs, after, labels, assets)
        self._ranks = _raw_ranks(self.inputs, before)
        self._order, self._taken = _output_order(self.outputs, after)
        self._run = self._connect(session)
        self._dtypes = [np.dtype(spec.dtype) for spec in self.inputs]
        self._good_shapes: list[tuple[int, ...]] = []  # the last shapes that were checked, for `run_raw`
        self._binder: Callable[[Sequence[Any], Sequence[Any]], None] | None = None
        self._submission: Submission | None = None
        self._streams: Any = ()
        self._loaded: tuple[Path | None, str, bytes, bytes] = (None, "", b"", b"")  # said by `loading`
        self._can_be_fast = len(self.inputs) == len(self.outputs) == 1 and not self._before[0] and not self._after[0]
        self._fast_dtype = self._dtypes[0]
        self._fast_shape: tuple[int, ...] | None = None  # the last shape that was checked, for a call
        self._fast_sample: tuple[int, ...] | None = None  # the same, for a sample without a batch axis

    def __call__(self, x: Any) -> Any:
        """Run pre-processing, the model and post-processing.

        Args:
            x: one array for a model with one input, or a dict of arrays by input name. An array has a batch axis first;
                a single sample without it (one dimension less than the input) gets one, and the result loses it again.
                Where the steps begin with `tokenize`, a list of texts, or one text.
                Floats of another width, integers and booleans are cast to a float input; any other difference in
                dtype is an error. Values are not searched for NaN.

        Returns:
            One result for a model with one output that was given one array; else a dict of results by output name.
            Arrays are the caller's: no later call writes into them.

        Raises:
            DataError: a wrong name, rank, shape or dtype.
            EngineError: the engine failed.
        """
        if type(x) is np.ndarray and x.dtype == self._fast_dtype:
            if x.shape == self._fast_shape:
                return self._run((x,))[0]
            if x.shape == self._fast_sample:
                return self._run((x[np.newaxis],))[0][0]
        return self._call(x)

    def run_raw(self, arrays: Sequence[Any]) -> list[Any]:
        """Run the model alone, without pre- and post-processing.

        Args:
            arrays: one per input, in the order of `inputs`, batch axis first.

        Returns:
            One array per output, in the order of `outputs`.

        Raises:
            DataError: a wrong number, rank, shape or dtype.
            EngineError: the engine failed.
        """
        for array, dtype, shape in zip(arrays, self._dtypes, self._good_shapes, strict=False):
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                break
        else:
            if len(arrays) == len(self._good_shapes):
                return self._run(arrays)
        if len(arrays) != len(self.inputs):
            raise shape_error(self.inputs, arrays)
        ready = [checked(spec, as_array(spec, array)) for spec, array in zip(self.inputs, arrays, strict=True)]
        results = self._run(ready)
        self._good_shapes = [array.shape for array in ready]
        return results

    def run_into(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run the model alone on arrays of the caller, and write its results into arrays of the caller.

        The fastest way: fill the same arrays in place and call again. They are checked when they come for the first
        time and known by identity after that; the last few sets are kept, until the model is closed.

        Args:
            inputs: one array per input, in the order of `inputs`, of exactly its dtype, batch axis first.
            outputs: one writable array per output, of its dtype and of the shape that `run_raw` gives.

        Raises:
            DataError: a wrong number, shape or dtype, or arrays that share memory.
            EngineError: the engine failed.
        """
        if self._binder is None:
            from edgeai_runtime.binding import Binder

            self._binder = Binder(self, self._session)
        self._binder(inputs, outputs)

    def submit(self, x: Any, *, block: bool = True, timeout: float | None = None) -> Future[Any]:
        """Call the model in another thread: what `model(x)` gives or raises is in the future.

        The first call opens the queue as `open_queue` does by default. Any thread may submit. The arrays in `x` must
        stay as they are until the future is done.

        Args:
            x: what a call takes.
            block: wait while the queue is full; else that is an error.
            timeout: wait at most so many seconds.

        Raises:
            BusyError: the queue stayed full.
            UsageError: the model was closed.
        """
        if self._submission is None:
            self.open_queue()
        assert self._submission is not None, "just opened"
        return self._submission.submit(x, block=block, timeout=timeout)

    def open_queue(self, *, workers: int | None = None, queue_size: int = 64) -> None:
        """Start the threads behind `submit`.

        Args:
            workers: how many calls run at once, each with its share of the model's threads; by default as many as the
                model has threads, which gives the most results per second.
            queue_size: at most so many calls are waiting or running.

        Raises:
            UsageError: the queue is open already, an argument makes no sense, or the model cannot be doubled.
        """
        from edgeai_runtime.submission import open_submission

        self._submission = open_submission(self, workers=workers, size=queue_size)

    def stream(self, states: Mapping[str, str] | None = None) -> Stream:
        """Return a stream: calls that go on from the state that the call before left. See `stream.Stream`.

        Args:
            states: which input is fed with which output, as `{"h_in": "h_out"}`; by default what the bundle says
                (`metadata.states`), else what the names tell. Variables inside the model need nothing said.

        Raises:
            UsageError: the model has no state, or `states` does not fit it.

        Example:
            >>> with model.stream() as stream:                  # doctest: +SKIP
            ...     for frame in frames:
            ...         print(stream(frame))
        """
        from edgeai_runtime.stream import open_stream

        return open_stream(self, states)

    def preprocess(self, x: Any) -> list[Any]:
        """Return the arrays that `run_raw` takes, from raw samples as given to a call (with their batch axis)."""
        values = by_input(x, self.inputs)
        return [self._prepare(index, as_array(self.inputs[index], value)) for index, value in enumerate(values)]

    @functools.cached_property
    def placement(self) -> PlacementReport:
        """Where the operations run, as far as the engine tells, and which delegates were tried."""
        report: PlacementReport = self._session.placement()
        return replace(report, **self._chosen, macs=self.variant.macs if self.variant else {})

    @property
    def memory(self) -> Memory:
        """What the process holds now, and by how much that grew while this model was loaded."""
        from edgeai_runtime.footprint import measure_loaded

        return measure_loaded(*self._loaded)

    def close(self, *, cancel: bool = False) -> None:
        """Give back the memory; the model cannot be called afterwards.

        What was submitted is finished before; with `cancel`, only what runs already, and the other futures are
        cancelled.
        """
        if self._submission is not None:
            self._submission.close(cancel=cancel)
        for stream in self._streams:
            stream.close()
        if self._session is not None:
            self._session.close()
        if self._session is not None:
            self._session, self._run, self._binder = None, _closed, _closed_into
            from edgeai_runtime.footprint import give_back

            give_back()

    def __enter__(self) -> Model:
        """Return the model."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the model; after an error, what was submitted and has not begun is cancelled."""
        self.close(cancel=kind is not None)

    def __repr__(self) -> str:
        """Say what is loaded and where."""
        name = f"{self.manifest.name}/{self.variant.id}" if self.manifest and self.variant else "artifact"
        return f"<Model {name}: {', '.join(s.name for s in self.inputs)} → {', '.join(s.name for s in self.outputs)}>"

    def _connect(self, session: Any) -> Callable[[Sequence[Any]], list[Any]]:
        """Return a function that runs a session on arrays as in `inputs`."""
        run = connect(session, self.variant, self.inputs, self.outputs)
        if self.manifest is None or "buckets" not in self.manifest.metadata:
            return run
        from edgeai_runtime.buckets import bucketed

        return bucketed(run, self.inputs, self.outputs, self.manifest.metadata["buckets"])

    def _prepare(self, index: int, array: Any) -> Any:
        spec = self.inputs[index]
        before = self._before[index]
        return checked(spec, before(array) if before is not None else array)

    def _call(self, x: Any) -> Any:
        values = by_input(x, self.inputs)
        arrays = [as_array(spec, value) for spec, value in zip(self.inputs, values, strict=True)]
        single = all(array.ndim == rank - 1 for rank, array in zip(self._ranks, arrays, strict=True))
        if single:
            arrays = [array[np.newaxis] for array in arrays]
        ready = [self._prepare(index, array) for index, array in enumerate(arrays)]
        results = self._run(ready)
        finished = self._finish(results, single)
        if self._can_be_fast and ready[0] is arrays[0] and isinstance(x, np.ndarray):  # nothing was cast
            if not single:
                self._fast_shape = x.shape
            elif results[0].ndim and len(results[0]) == 1:
                self._fast_sample = x.shape
        if len(finished) == 1 and not isinstance(x, Mapping):
            return next(iter(finished.values()))
        return finished

    def _finish(self, results: Sequence[Any], single: bool) -> dict[str, Any]:
        """Run the steps of the outputs; those that another one took in are left out."""
        done: dict[str, Any] = {}
        for index in self._order:
            after = self._after[index]
            done[self.outputs[index].name] = results[index] if after is None else after(results[index], done)
        finished = {spec.name: done[spec.name] for spec in self.outputs if spec.name not in self._taken}
        if single:
            for name, result in finished.items():
                if (isinstance(result, list) or result.ndim) and len(result) == 1:
                    finished[name] = result[0]
        return finished


def _steps(
    specs: Sequence[TensorSpec],
    steps: Mapping[str, tuple[Step, ...]],
    labels: Sequence[str],
    assets: Mapping[str, Path],
) -> list[Callable[..., Any] | None]:
    """Return, per tensor, a function that runs its steps, or `None` where it has none."""
    if not any(steps.get(spec.name) for spec in specs):
        return [None] * len(specs)
    from edgeai_runtime.transforms.pipeline import prepare_steps

    try:
        return [
            prepare_steps(steps[s.name], labels=labels, assets=assets) if steps.get(s.name) else None for s in specs
        ]
    except UsageError as error:
        raise BundleError(f"the bundle's pre- or post-processing makes no sense: {error.message}") from error


def _raw_ranks(specs: Sequence[TensorSpec], steps: Mapping[str, tuple[Step, ...]]) -> list[int]:
    """Return the rank of each input before its steps, batch axis included."""
    if not any(steps.values()):
        return [len(spec.shape) for spec in specs]
    from edgeai_runtime.transforms.pipeline import axes_added

    return [len(spec.shape) - axes_added(steps.get(spec.name, ())) for spec in specs]


def _output_order(
    specs: Sequence[TensorSpec], steps: Mapping[str, tuple[Step, ...]]
) -> tuple[Sequence[int], frozenset[str]]:
    """Return the order in which outputs are finished, those that others take in first, and the names of these."""
    if not any(steps.values()):
        return range(len(specs)), frozenset()
    from edgeai_runtime.transforms.pipeline import outputs_taken

    takes = {spec.name: outputs_taken(steps.get(spec.name, ())) for spec in specs}
    for name, others in takes.items():
        for other in others:
            if other == name or other not in takes or takes[other]:
                raise BundleError(
                    f"the steps of output {name!r} take in {other!r}, which is no other output without such a step"
                )
    order = sorted(range(len(specs)), key=lambda index: bool(takes[specs[index].name]))
    return order, frozenset(other for others in takes.values() for other in others)


def _closed_into(inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    _closed(inputs)


def _closed(arrays: Sequence[Any]) -> list[Any]:
    raise UsageError("the model was closed", hint="load it again")
