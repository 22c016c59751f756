"""Shape buckets: arrays of any length for artifacts and hardware that take a few lengths only.

A bundle whose model gives the same answers when an input is padded may say so, in `metadata.buckets`:

    {"x": {"axis": 1, "sizes": [32, 64, 128], "pad": 0, "outputs": {"y": 1}}}

The input `x` is padded with `pad` along axis 1 to the next of `sizes`, and what belongs to the padding is cut from axis
1 of the output `y`. An artifact with a fixed length has one size, its own. Whether padding changes the answers is the
model's affair (a mask may be another input, padded too): nothing is padded that the bundle does not name.

A delegate that takes fixed shapes only gets a session per set of sizes, opened when they come for the first time.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai_runtime.engines.boundary import Run
from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
from edgeai_runtime.record import dataclass

if TYPE_CHECKING:
    from edgeai_runtime.engines.protocol import Session
    from edgeai_runtime.placement import PlacementReport

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class _Bucket:
    place: int
    axis: int
    sizes: tuple[int, ...]
    pad: float
    cuts: tuple[tuple[int, int], ...]  # output and axis


def bucketed(run: Run, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], said: Any) -> Run:
    """Return a function that pads arrays to the next bucket, calls `run`, and cuts its results.

    Args:
        run: takes arrays as in `inputs` and gives arrays as in `outputs`.
        inputs: the manifest's inputs; a padded axis is free there.
        outputs: the manifest's outputs.
        said: `metadata.buckets`.

    Raises:
        BundleError: `said` makes no sense for these tensors.
    """
    buckets = _read_all(said, inputs, outputs)

    def run_padded(arrays: Sequence[Any]) -> list[Any]:
        ready, cuts = list(arrays), []
        for bucket in buckets:
            array = ready[bucket.place]
            length = array.shape[bucket.axis]
            at = bisect.bisect_left(bucket.sizes, length)
            if at == len(bucket.sizes):
                raise DataError(
                    f"input {inputs[bucket.place].name!r} is at most {bucket.sizes[-1]} long on axis {bucket.axis}. "
                    f"Received: {length}",
                    hint="give it in parts, or convert the model with a larger bucket",
                )
            if bucket.sizes[at] != length:
                widths = [(0, bucket.sizes[at] - length if axis == bucket.axis else 0) for axis in range(array.ndim)]
                ready[bucket.place] = np.pad(array, widths, constant_values=array.dtype.type(bucket.pad))
                cuts += [(place, axis, length) for place, axis in bucket.cuts]
        results = run(ready)
        for place, axis, length in cuts:
            results[place] = results[place][(slice(None),) * axis + (slice(length),)]
        return results

    return run_padded


def open_for_buckets(
    open: Callable[[Mapping[str, str]], Session], manifest: Manifest, variant: Variant, delegate: str
) -> Session:
    """Return what `open` gives for no more options; for fixed shapes and free axes in the variant, a `BucketSession`.

    Args:
        open: opens the variant on the delegate with these options besides its own.
        manifest: whose `metadata.buckets` say the sizes of axes that are free.
        variant: what is opened.
        delegate: the name of the delegate.

    Raises:
        BundleError: the buckets make no sense.
    """
    from edgeai_runtime.delegates.table import find_delegate

    spec = find_delegate(delegate)
    if spec is None or not spec.static_shapes or not any(None in one.shape[1:] for one in variant.inputs):
        return open({})
    shapes = [list(one.shape) for one in variant.inputs]
    for bucket in _read_all(manifest.metadata["buckets"], manifest.inputs, manifest.outputs):
        outer, own = manifest.inputs[bucket.place], variant.inputs[bucket.place]
        axis = bucket.axis
        if outer.layout is not None and own.layout is not None:
            axis = own.layout.index(outer.layout[axis])
        shapes[bucket.place][axis] = bucket.sizes[0]
    if any(None in shape[1:] for shape in shapes):
        return open({})  # the delegate says what is free
    takes_sizes = "dimension.*" in spec.options
    return BucketSession(open, variant.inputs, tuple(tuple(size or 1 for size in one) for one in shapes), takes_sizes)


class BucketSession:
    """A session per set of shapes; see `engines.protocol.Session` for what its members promise.

    Args:
        open: opens one, with the sizes of the free axes as options `dimension.<input>.<axis>`.
        specs: the artifact's inputs, with free axes; the batch is left to each session.
        first: the shapes that are opened at once.
        takes_sizes: whether the delegate has such options; else a session takes the shapes of its first run.
    """

    def __init__(
        self,
        open: Callable[[Mapping[str, str]], Session],
        specs: Sequence[TensorSpec],
        first: Shapes,
        takes_sizes: bool,
    ) -> None:
        self._open, self._takes_sizes = open, takes_sizes
        self._free = [
            (place, spec.name, axis)
            for place, spec in enumerate(specs)
            for axis, size in enumerate(spec.shape)
            if axis and size is None
        ]
        self._sessions: dict[tuple[int, ...], Session] = {}
        one = self._session(first)
        self.inputs, self.outputs = one.inputs, one.outputs

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Run the session for the shapes of the arrays, which is opened if there is none."""
        return self._session([array.shape for array in arrays]).run(arrays)

    def placement(self) -> PlacementReport:
        """Say what the first session says."""
        return next(iter(self._sessions.values())).placement()

    def close(self) -> None:
        """Close all of them."""
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _session(self, shapes: Sequence[tuple[int, ...]]) -> Session:
        key = tuple([shapes[place][axis] for place, _, axis in self._free])
        found = self._sessions.get(key)
        if found is None:
            sizes = {
                f"dimension.{name}.{axis}": str(size) for (_, name, axis), size in zip(self._free, key, strict=True)
            }
            found = self._sessions[key] = self._open(sizes if self._takes_sizes else {})
        return found


def _read_all(said: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> list[_Bucket]:
    if not isinstance(said, Mapping):
        raise BundleError(f"metadata.buckets is an object by name of input. Received: {said!r}")
    return [_read(name, one, inputs, outputs) for name, one in said.items()]


def _read(name: str, said: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> _Bucket:
    where = f"metadata.buckets of {name!r}"
    names, out_names = [spec.name for spec in inputs], [spec.name for spec in outputs]
    if not isinstance(said, Mapping) or name not in names or set(said) - {"axis", "sizes", "pad", "outputs"}:
        raise BundleError(f"{where}: an input's axis, sizes, pad and outputs. Received: {said!r}")
    axis, sizes, cuts = said.get("axis"), said.get("sizes"), said.get("outputs", {})
    shape = inputs[names.index(name)].shape
    if not isinstance(axis, int) or not 0 < axis < len(shape) or shape[axis] is not None:
        raise BundleError(f"{where}: axis is a free one that is not the batch. Received: {axis!r} of {shape}")
    if not isinstance(sizes, (list, tuple)) or not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise BundleError(f"{where}: sizes are lengths, 1 or more. Received: {sizes!r}")
    if not isinstance(cuts, Mapping) or not all(
        out in out_names and type(at) is int and 0 < at < len(outputs[out_names.index(out)].shape)
        for out, at in cuts.items()
    ):
        raise BundleError(f"{where}: outputs are axes by name of output, not the batch. Received: {cuts!r}")
    pad = said.get("pad", 0)
    if not isinstance(pad, (int, float)):
        raise BundleError(f"{where}: pad is a number. Received: {pad!r}")
    places = tuple((out_names.index(out), at) for out, at in cuts.items())
    return _Bucket(place=names.index(name), axis=axis, sizes=tuple(sorted(sizes)), pad=pad, cuts=places)
