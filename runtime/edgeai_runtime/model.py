"""Load a bundle or a bare artifact and call it: the object an app holds."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.delegates.choose import (
    check_placement,
    check_report,
    needs_report,
    order_delegates,
    placement_error,
)
from edgeai_runtime.delegates.table import DEFAULT_DELEGATES, find_delegate
from edgeai_runtime.engines.arguments import as_array, by_input, checked
from edgeai_runtime.engines.boundary import Adapter, input_adapter, output_adapter
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import (
    BundleError,
    EdgeAIError,
    EngineError,
    MissingEngineError,
    ModelError,
    PlacementError,
    UsageError,
)
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
from edgeai_runtime.placement import Attempt, Placement, PlacementReport

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle

#: More threads than this seldom help the small models of edge devices; `threads=` overrides it.
_MOST_THREADS = 4


def load(
    path: str | Path,
    *,
    placement: Placement | None = None,
    threads: int | None = None,
    variant: str | None = None,
    isolate: bool | None = None,
) -> Model:
    """Load a bundle (`.edge` file or folder) or a bare `.tflite`, `.onnx` or `.xml` file.

    Of a bundle, the variants are tried in the order of `placement.prefer`, then of the manifest; one whose engine is
    not installed, or that does not load, is passed over, and `model.placement.attempts` says why.

    Args:
        path: the bundle or artifact.
        placement: what is asked of the hardware; by default the best device there is.
        threads: at most this many; by default the processors this process may use, 4 at most.
        variant: the id of the only variant to try.
        isolate: open the file in a child process first. By default that is done for bare files, which may crash their
            engine, and not for bundles, whose digests are checked.

    Raises:
        UsageError: an argument makes no sense, or there is no such variant.
        BundleError: the bundle is incomplete or damaged.
        ModelError: the file is not a model, or crashes its engine.
        MissingEngineError: no installed engine can run it; the hint is the pip line that mends it.
        PlacementError: the hardware that is asked for can not be used; lists why not, delegate by delegate.

    Example:
        >>> model = load("digits.edge")                     # doctest: +SKIP
        >>> probabilities = model(image)                    # doctest: +SKIP
    """
    path, asked = Path(path), placement or Placement()
    check_placement(asked)
    threads = _default_threads() if threads is None else threads
    if threads < 1:
        raise UsageError(f"threads is at least 1. Received: {threads}")
    from edgeai_runtime.engines.artifact_file import format_of

    if not _looks_like_bundle(path):
        if variant is not None:
            raise UsageError(f"{path} is a bare artifact, not a bundle: it has no variant {variant!r}")
        candidates = [(_Choice(path=path), delegate) for delegate in DEFAULT_DELEGATES[format_of(path)]]
        candidates += _named_delegates(candidates[0], asked)
        return _load_first(candidates, asked, threads, isolate=isolate is not False, bundle=None)
    from edgeai_runtime.bundle import open_bundle

    bundle = open_bundle(path)
    variants = [one for one in bundle.manifest.variants if variant in (None, one.id)]
    if not variants:
        known = ", ".join(one.id for one in bundle.manifest.variants)
        raise UsageError(f"{path} has no variant {variant!r}", hint=f"its variants: {known}")
    candidates = [
        (_Choice(path=bundle.file(one.files[0]), variant=one), delegate)
        for one in variants
        for delegate in one.delegates or DEFAULT_DELEGATES[one.format]
    ]
    return _load_first(candidates, asked, threads, isolate=isolate is True, bundle=bundle)


class Model:
    """A loaded model. Call it with one array, or with a dict of arrays by input name.

    Made by `load`. Not safe for several threads at once: load it once per thread.

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
        self._attempts: tuple[Attempt, ...] = ()
        self._labels = bundle.labels() if bundle is not None else ()
        self._before = [self.manifest.preprocessing.get(s.name, ()) if self.manifest else () for s in self.inputs]
        self._after = [self.manifest.postprocessing.get(s.name, ()) if self.manifest else () for s in self.outputs]
        self._connect(session)
        plain = len(self.inputs) == len(self.outputs) == 1 and not self._adapted and not self._before[0]
        self._can_be_fast = plain and not self._after[0]
        self._fast_dtype = np.dtype(self.inputs[0].dtype) if self._can_be_fast else None
        self._fast_shape: tuple[int, ...] | None = None
        self._run = session.run

    def __call__(self, x: Any) -> Any:
        """Run pre-processing, the model and post-processing.

        Args:
            x: one array for a model with one input, or a dict of arrays by input name. An array has a batch axis first;
                a single sample without it (one dimension less than the input) gets one, and the result loses it again.
                Floats of another width, integers and booleans are cast to a float input; any other difference in
                dtype is an error. Values are not searched for NaN.

        Returns:
            One result for a model with one output that was given one array; else a dict of results by output name.
            Arrays are the caller's: no later call writes into them.

        Raises:
            DataError: a wrong name, rank, shape or dtype.
            EngineError: the engine failed.
        """
        if type(x) is np.ndarray and x.shape == self._fast_shape and x.dtype == self._fast_dtype:
            return self._run((x,))[0]
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
        values = by_input(dict(zip((s.name for s in self.inputs), arrays, strict=False)), self.inputs)
        ready = [checked(spec, as_array(spec, value)) for spec, value in zip(self.inputs, values, strict=True)]
        return self._run_checked(ready)

    def preprocess(self, x: Any) -> list[Any]:
        """Return the arrays that `run_raw` takes, from raw samples as given to a call (with their batch axis)."""
        values = by_input(x, self.inputs)
        return [self._prepare(index, as_array(self.inputs[index], value)) for index, value in enumerate(values)]

    @functools.cached_property
    def placement(self) -> PlacementReport:
        """Where the operations run, as far as the engine tells, and which delegates were tried."""
        report: PlacementReport = self._session.placement()
        return dataclasses.replace(report, attempts=self._attempts)

    def close(self) -> None:
        """Give back the memory; the model can not be called afterwards."""
        if self._session is not None:
            self._session.close()
        self._session, self._run, self._fast_shape = None, _closed, None

    def __enter__(self) -> Model:
        """Return the model."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the model."""
        self.close()

    def __repr__(self) -> str:
        """Say what is loaded and where."""
        name = f"{self.manifest.name}/{self.variant.id}" if self.manifest and self.variant else "artifact"
        return f"<Model {name}: {', '.join(s.name for s in self.inputs)} → {', '.join(s.name for s in self.outputs)}>"

    def _connect(self, session: Session) -> None:
        """Work out the order of the artifact's tensors and what lies between them and the model's."""
        own_inputs = self.variant.inputs if self.variant else session.inputs
        own_outputs = self.variant.outputs if self.variant else session.outputs
        self._input_order = _order(own_inputs, session.inputs, "inputs")
        self._output_order = _order(own_outputs, session.outputs, "outputs")
        self._to_artifact: list[Adapter | None] = [
            input_adapter(outer, _merged(own, session.inputs[place]))
            for outer, own, place in zip(self.inputs, own_inputs, self._input_order, strict=True)
        ]
        self._from_artifact: list[Adapter | None] = [
            output_adapter(_merged(own, session.outputs[place]), outer)
            for outer, own, place in zip(self.outputs, own_outputs, self._output_order, strict=True)
        ]
        self._adapted = (
            any(self._to_artifact)
            or any(self._from_artifact)
            or self._input_order != list(range(len(self.inputs)))
            or self._output_order != list(range(len(session.outputs)))
        )

    def _run_checked(self, arrays: list[Any]) -> list[Any]:
        if not self._adapted:
            return list(self._run(arrays))
        own: list[Any] = [None] * len(arrays)
        for array, adapt, place in zip(arrays, self._to_artifact, self._input_order, strict=True):
            own[place] = adapt(array) if adapt is not None else array
        results = self._run(own)
        return [
            adapt(results[place]) if adapt is not None else results[place]
            for adapt, place in zip(self._from_artifact, self._output_order, strict=True)
        ]

    def _prepare(self, index: int, array: Any) -> Any:
        spec = self.inputs[index]
        if self._before[index]:
            from edgeai_runtime.transforms.pipeline import apply_steps

            array = apply_steps(self._before[index], array)
        return checked(spec, array)

    def _call(self, x: Any) -> Any:
        values = by_input(x, self.inputs)
        arrays = [as_array(spec, value) for spec, value in zip(self.inputs, values, strict=True)]
        single = all(array.ndim == len(spec.shape) - 1 for spec, array in zip(self.inputs, arrays, strict=True))
        if single:
            arrays = [array[np.newaxis] for array in arrays]
        ready = [self._prepare(index, array) for index, array in enumerate(arrays)]
        results = self._run_checked(ready)
        finished = [self._finish(index, array, single) for index, array in enumerate(results)]
        if self._can_be_fast and not single and ready[0] is x:
            self._fast_shape = x.shape
        if len(finished) == 1 and not isinstance(x, Mapping):
            return finished[0]
        return {spec.name: result for spec, result in zip(self.outputs, finished, strict=True)}

    def _finish(self, index: int, result: Any, single: bool) -> Any:
        if self._after[index]:
            from edgeai_runtime.transforms.pipeline import apply_steps

            result = apply_steps(self._after[index], result, labels=self._labels)
        if single and (isinstance(result, list) or result.ndim) and len(result) == 1:
            return result[0]
        return result


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Choice:
    """An artifact that may be loaded, and the variant it belongs to."""

    path: Path
    variant: Variant | None = None


def _load_first(
    candidates: Sequence[tuple[_Choice, str]],
    asked: Placement,
    threads: int,
    *,
    isolate: bool,
    bundle: Bundle | None,
) -> Model:
    """Load the first candidate that loads and satisfies the placement."""
    ordered, attempts = order_delegates(candidates, asked)
    failures: list[EdgeAIError] = []
    for choice, delegate in ordered:
        try:
            model = _open(choice, delegate, asked, threads, isolate=isolate, bundle=bundle)
        except (EngineError, ModelError, PlacementError) as error:
            failures.append(error)
            attempts.append(Attempt(delegate=delegate, outcome="failed", reason=error.message))
            continue
        model._attempts = (*attempts, Attempt(delegate=delegate, outcome="used"))
        return model
    raise _nothing_loaded(asked, attempts, failures)


def _open(
    choice: _Choice, delegate: str, asked: Placement, threads: int, *, isolate: bool, bundle: Bundle | None
) -> Model:
    spec = find_delegate(delegate)
    assert spec is not None, "delegates without a spec are skipped before"
    if isolate:
        from edgeai_runtime.isolation import check_in_child

        check_in_child(choice.path, engine=spec.engine, delegate=delegate, threads=threads)
    session = get_engine(spec.engine).open(choice.path, delegate=delegate, threads=threads, options={})
    model = Model(session, variant=choice.variant, bundle=bundle, threads=threads)
    if needs_report(asked):
        check_report(model.placement, asked)
        del model.placement  # the attempts are not yet in it
    return model


def _nothing_loaded(asked: Placement, attempts: Sequence[Attempt], failures: Sequence[EdgeAIError]) -> EdgeAIError:
    if not failures:
        return placement_error(asked, attempts)
    if len(failures) == 1 and not isinstance(failures[0], PlacementError):
        return failures[0]
    listing = "".join(f"\n  {a.delegate}: {a.reason}" for a in attempts if a.outcome == "failed")
    missing = [error for error in failures if isinstance(error, MissingEngineError)]
    if len(missing) == len(failures):
        hints = list(dict.fromkeys(error.hint for error in missing))
        return MissingEngineError(
            f"none of the engines that can run this is installed:{listing}", hint=" or ".join(hints)
        )
    if any(isinstance(error, PlacementError) for error in failures):
        return placement_error(asked, attempts)
    first = next(error for error in failures if not isinstance(error, MissingEngineError))
    return EngineError(f"none of the variants could be loaded:{listing}", hint=first.hint)


def _named_delegates(first: tuple[_Choice, str], asked: Placement) -> list[tuple[_Choice, str]]:
    """Return the delegates of a bare file's engine that are not tried by default but named by the placement."""
    choice, default = first
    engine = default.partition(":")[0]
    names = (asked.require or "", *asked.prefer, *(asked.allow or ()))
    return [(choice, name) for name in dict.fromkeys(names) if name.startswith(f"{engine}:") and name != default]


def _looks_like_bundle(path: Path) -> bool:
    if path.suffix in (".tflite", ".onnx", ".xml"):
        return False
    if path.suffix == ".edge" and path.exists():
        return True  # if it is damaged, opening it says how
    from edgeai_runtime.bundle import is_bundle

    return is_bundle(path)


def _order(own: Sequence[TensorSpec], engine: Sequence[TensorSpec], what: str) -> list[int]:
    """Return, for each of a variant's own tensors, its place among the engine's: by name, else by position."""
    names = [spec.name for spec in engine]
    if all(spec.name in names for spec in own) and len(set(names)) == len(names):
        return [names.index(spec.name) for spec in own]
    if len(own) != len(engine):
        raise BundleError(
            f"the manifest lists the {what} {', '.join(s.name for s in own)}, the artifact has {', '.join(names)}"
        )
    return list(range(len(own)))


def _merged(own: TensorSpec, engine: TensorSpec) -> TensorSpec:
    """Return the artifact's tensor: dtype as the engine says, layout and quantization as the manifest says."""
    return dataclasses.replace(own, dtype=engine.dtype, quantization=own.quantization or engine.quantization)


def _closed(arrays: Sequence[Any]) -> list[Any]:
    raise UsageError("the model was closed", hint="load it again")


def _default_threads() -> int:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    return max(1, min(cores, _MOST_THREADS))
