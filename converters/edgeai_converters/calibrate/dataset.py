"""Data sets: samples from a file, folder or function, prepared and checked for one model.

    open_dataset(text) ──► raw samples ──► preprocessing steps ──► checks (shape, dtype, NaN) ──► batches
                           dataset_npz · dataset_images · dataset_csv · dataset_function

In scope: choosing the reader, preparing batches, labels, digests. Which samples serve what is in `splits.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset_check import (
    cast_samples,
    check_finite,
    check_shape,
    not_finite,
    sample_fits,
    shape_candidates,
)
from edgeai_converters.calibrate.dataset_kinds import read_samples
from edgeai_converters.calibrate.samples import Samples
from edgeai_converters.calibrate.samples_hash import hash_samples
from edgeai_converters.calibrate.samples_labels import class_indices
from edgeai_runtime.errors import DataError, EdgeAIError, UsageError
from edgeai_runtime.manifest import Step, TensorSpec
from edgeai_runtime.transforms.pipeline import apply_steps

_HASH_BATCH = 64


def open_dataset(
    text: str,
    *,
    inputs: Sequence[TensorSpec],
    preprocessing: Mapping[str, tuple[Step, ...]] | None = None,
    key_suffix: str | None = None,
    class_names: Sequence[str] = (),
) -> Dataset:
    """Open a data set for a model and check its first sample.

    Accepted forms of `text`:

    - `data.npz`: arrays `x` and `y`, or arrays named like the model's inputs and `y`; without `y` there are no labels;
    - `data.npz:x_eval,y_eval`: the named arrays, inputs first, then labels; or `data.npz:left=a,right=b,y=c`;
    - a folder with one folder of images per class, or with a `labels.csv`/`labels.txt` listing images;
    - a `.csv`, `.tsv` or `.txt` with rows `file,label`, paths relative to it;
    - `module:function` or `file.py:function`, returning `(x, y)`, `x`, or `({input: array}, y)`.

    Args:
        inputs: the model's inputs after preprocessing, batch axis included in their shapes.
        preprocessing: steps per input name, run on raw samples.
        key_suffix: for a `.npz` with several sets: `eval` prefers `x_eval` and `y_eval` to `x` and `y`.
        class_names: all classes in the model's order, when the data name classes instead of numbering them.

    Raises:
        DataError: a missing, unreadable or empty source, or samples that do not fit the model.
        UsageError: preprocessing for an input that the model does not have, or text of no known form.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "data.npz"
        >>> np.savez(path, x=np.zeros((8, 4), np.float32), y=np.zeros(8, np.int64))
        >>> data = open_dataset(str(path), inputs=[TensorSpec(name="input", shape=(None, 4), dtype="float32")])
        >>> len(data), next(data.batches(range(8), 3))["input"].shape
        (8, (3, 4))
    """
    steps = dict(preprocessing or {})
    names = [spec.name for spec in inputs]
    unknown = [name for name in steps if name not in names]
    if unknown:
        raise UsageError(
            f"Preprocessing for an input that the model does not have: {', '.join(unknown)}.",
            hint=f"The model's inputs are: {', '.join(names)}.",
        )
    samples = read_samples(text, inputs, key_suffix, class_names)
    return Dataset(samples, inputs=inputs, preprocessing=steps)


class Dataset:
    """Samples in a fixed order, with labels, prepared for one model when they are read.

    Attributes:
        inputs: the model's inputs, as they are after preprocessing.
        preprocessing: the steps really run per input: those given, and a final cast where the dtype needed one.
        notes: what a user should know about how the data were read.
    """

    def __init__(
        self, samples: Samples, *, inputs: Sequence[TensorSpec], preprocessing: Mapping[str, tuple[Step, ...]]
    ) -> None:
        self.inputs = tuple(inputs)
        self._samples = samples
        self._given = {spec.name: tuple(preprocessing.get(spec.name, ())) for spec in inputs}
        self.notes: tuple[str, ...] = samples.notes
        self._read_as: dict[str, tuple[int, ...]] = {}
        first = next(samples.read(np.array([0])))
        self._choose_shapes(first)
        self.preprocessing = {spec.name: self._effective_steps(first, spec) for spec in self.inputs}
        self._prepare(self._raw(first), np.array([0]))

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def where(self) -> str:
        """Where the samples come from, as errors name it."""
        return self._samples.where

    @property
    def labels(self) -> NDArray[Any] | None:
        """One label per sample: class indices `[n]` or targets `[n, …]` as given; `None` without labels."""
        return self._samples.labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices; empty when the data do not say."""
        return self._samples.class_names

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """The hash of every sample's raw content (labels apart), in hex. The first use reads all samples once.

        Equal values give equal hashes whether they are stored as 8- or 16-bit integers, float16 or float32.

        Raises:
            DataError: samples hold NaN or infinity; the message names them.
        """
        hashes: list[str] = []
        bad: dict[str, list[str]] = {}
        for start in range(0, len(self), _HASH_BATCH):
            for group in self._samples.read(np.arange(start, min(start + _HASH_BATCH, len(self)))):
                first = len(hashes)
                for name, array in group.items():
                    if array.dtype.kind == "f" and not np.isfinite(array).all():
                        rows = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
                        bad.setdefault(name, []).extend(self._samples.name(first + int(row)) for row in rows)
                hashes.extend(hash_samples(group))
        for name, names in bad.items():
            raise not_finite(name, names)
        return tuple(hashes)

    def sample_hash(self, index: int) -> str:
        """Return the hash of one sample's raw content, in hex."""
        return self.hashes[index]

    @cached_property
    def digest(self) -> str:
        """sha256 of all samples in order and their labels, in hex."""
        digest = hashlib.sha256()
        for value in self.hashes:
            digest.update(bytes.fromhex(value))
        if self.labels is not None:
            digest.update(f"{self.labels.dtype.str}{self.labels.shape}".encode())
            digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()

    def raw_batches(self, indices: Sequence[int] | NDArray[Any], size: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield samples before preprocessing, `{input: [m, …]}` with m ≤ size.

        Images of different sizes never share a batch; a batch then ends where the size changes.
        """
        for chunk in _chunks(self._check_indices(indices), size):
            for group in self._samples.read(chunk):
                yield self._raw(group)

    def batches(self, indices: Sequence[int] | NDArray[Any], size: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield prepared and checked samples, `{input: [size, …]}` in the input's dtype; the last batch may be smaller.

        Raises:
            DataError: samples whose shape or dtype does not fit the input, or that hold NaN or infinity.
        """
        for chunk in _chunks(self._check_indices(indices), size):
            parts: list[dict[str, NDArray[Any]]] = []
            done = 0
            for group in self._samples.read(chunk):
                length = len(next(iter(group.values())))
                parts.append(self._prepare(self._raw(group), chunk[done : done + length]))
                done += length
            if len(parts) == 1:
                yield parts[0]
            else:
                yield {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in self.inputs}

    def check_labels(self, n_classes: int | None) -> NDArray[np.int64]:
        """Return the labels as class indices `[n]`, checked to lie in `0 … n_classes - 1`.

        One output column (`n_classes=1`) is a model of two classes.

        Raises:
            DataError: there are no labels, or they are not such indices; the message names the samples.
        """
        if self.labels is None:
            raise DataError(
                f"{self.where}: there are no labels.",
                hint="Add an array y (one class index per sample), or use --metric agreement.",
            )
        return class_indices(self.labels, n_classes=2 if n_classes == 1 else n_classes, where=self.where)

    def _raw(self, group: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {
            name: array.reshape(len(array), *self._read_as[name]) if name in self._read_as else array
            for name, array in group.items()
        }

    def _choose_shapes(self, first: Mapping[str, NDArray[Any]]) -> None:
        """Find out whether samples fit once axes of length 1 are added or removed (28x28 for a 28x28x1 input)."""
        for spec in self.inputs:
            raw = first[spec.name]
            for shape in shape_candidates(raw.shape[1:], spec):
                try:
                    prepared = self._run_steps(raw.reshape(1, *shape), spec)
                except EdgeAIError:  # these steps do not take this shape; if none is taken, `_prepare` says why
                    continue
                if sample_fits(prepared.shape[1:], spec):
                    if shape != raw.shape[1:]:
                        self._read_as[spec.name] = shape
                        self.notes += (
                            f"{self.where}: samples of shape {list(raw.shape[1:])} are read as {list(shape)} "
                            f"for the input {spec.name}.",
                        )
                    break

    def _effective_steps(self, first: Mapping[str, NDArray[Any]], spec: TensorSpec) -> tuple[Step, ...]:
        steps = self._given[spec.name]
        dtype = self._run_steps(self._raw({spec.name: first[spec.name]})[spec.name], spec).dtype
        if dtype == np.dtype(spec.dtype):
            return steps
        if not steps and dtype.kind in "iu" and np.dtype(spec.dtype).kind == "f":
            self.notes += (
                f"{self.where}: {dtype} samples go to the {spec.dtype} input {spec.name} as they are, without scaling; "
                "if the model was trained on scaled values, give --preprocess.",
            )
        return (*steps, Step(op="cast", params={"dtype": spec.dtype}))

    def _run_steps(self, raw: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
        steps = self._given[spec.name]
        return np.asarray(apply_steps(steps, raw)) if steps else raw

    def _prepare(self, raw: Mapping[str, NDArray[Any]], indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        prepared = {}
        for spec in self.inputs:
            steps = self._given[spec.name]
            array = self._run_steps(raw[spec.name], spec)
            where = self.where if len(indices) > 1 else f"{self.where}, {self._samples.name(int(indices[0]))}"
            check_shape(array, spec, raw=raw[spec.name], steps=steps, where=where)
            check_finite(array, indices, name=spec.name, sample_name=self._samples.name)
            prepared[spec.name] = np.ascontiguousarray(cast_samples(array, spec, steps=steps, where=where))
        return prepared

    def _check_indices(self, indices: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        array = np.asarray(indices, dtype=np.int64)
        if array.size and (array.min() < 0 or array.max() >= len(self)):
            raise DataError(f"{self.where}: there are {len(self)} samples. Received index {array.max()}")
        return array


def _chunks(indices: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(indices), max(size, 1)):
        yield indices[start : start + max(size, 1)]
