"""Raw samples: what every kind of data source looks like to `Dataset`, and samples held as arrays.

In scope: the protocol, the in-memory kind, and which array of a file feeds which input of a model. Reading files is
in the `dataset_*.py` modules; preprocessing and checks are in `dataset.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec

LABELS_NAME = "y"
SINGLE_INPUT_NAME = "x"


class Samples(Protocol):
    """Raw samples in a fixed order, before any preprocessing."""

    @property
    def where(self) -> str:
        """Where they come from, as errors name it."""
        ...

    @property
    def labels(self) -> NDArray[Any] | None:
        """One label per sample, `[n]` class indices or `[n, …]` targets; `None` without labels."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices; empty when the source does not say."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how the source was read."""
        ...

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def read(self, indices: NDArray[np.int64]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the samples in order, in groups `{input: [m, …]}` whose samples have one shape."""
        ...

    def name(self, index: int) -> str:
        """Return what a user would call this sample: `sample 12` or a file name."""
        ...


@dataclass(frozen=True, kw_only=True)
class ArraySamples:
    """Samples held (or memory-mapped) as one array per input, all `[n, …]`."""

    where: str
    arrays: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(array) if array.ndim else None for name, array in self.arrays.items()}
        if self.labels is not None:
            lengths[LABELS_NAME] = len(self.labels) if self.labels.ndim else None
        if any(length is None for length in lengths.values()):
            scalars = ", ".join(name for name, length in lengths.items() if length is None)
            raise DataError(
                f"{self.where}: {scalars} is a single number, not one value per sample.",
                hint="The first axis of every array counts the samples.",
            )
        if len(set(lengths.values())) > 1:
            sizes = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise DataError(
                f"{self.where}: the arrays do not have the same number of samples: {sizes}.",
                hint="The first axis of every array counts the samples; inputs and labels must match one to one.",
            )
        if not len(self):
            raise DataError(f"{self.where}: there are no samples.", hint="Give a file with at least one sample.")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def read(self, indices: NDArray[np.int64]) -> Iterator[dict[str, NDArray[Any]]]:
        yield {name: np.asarray(array[indices]) for name, array in self.arrays.items()}

    def name(self, index: int) -> str:
        return f"sample {index}"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which array feeds which input (`inputs[input] == array`), and which holds the labels."""

    inputs: dict[str, str]
    labels: str | None


def choose_arrays(
    names: Sequence[str],
    *,
    inputs: Sequence[TensorSpec],
    selection: str | None,
    key_suffix: str | None,
    where: str,
) -> Chosen:
    """Decide which arrays of a file feed the inputs of a model.

    Without a selection: an array named like each input; for a model with one input also `x`, or the only array
    besides the labels. Labels are `y`. With `key_suffix="eval"`, `x_eval` and `y_eval` go before `x` and `y`.

    A selection is a list of array names separated by commas: first one per input in the model's order, then the labels
    (`x_eval,y_eval`). `input=array` and `y=array` name them one by one (`left=l_eval,right=r_eval,y=y_eval`).

    Raises:
        DataError: an array is missing; the message lists what is there.
    """
    if selection is not None:
        return _parse_selection(selection, names, inputs, where)
    found = {}
    for spec in inputs:
        wanted = [spec.name, *([SINGLE_INPUT_NAME] if len(inputs) == 1 else [])]
        name = _first_present(wanted, names, key_suffix)
        if name is not None:
            found[spec.name] = name
    labels = _first_present([LABELS_NAME], names, key_suffix)
    missing = [spec.name for spec in inputs if spec.name not in found]
    rest = [name for name in names if name != labels]
    if len(inputs) == 1 and missing and len(rest) == 1:
        return Chosen(inputs={inputs[0].name: rest[0]}, labels=labels)
    if missing:
        wanted_text = " or ".join([*missing, *([SINGLE_INPUT_NAME] if len(inputs) == 1 else [])])
        raise DataError(
            f"{where}: no array for the model's input {', '.join(missing)}: looked for {wanted_text}. "
            f"Received arrays: {', '.join(names) or 'none'}",
            hint=_selection_hint(names, inputs, where),
        )
    return Chosen(inputs=found, labels=labels)


def _first_present(wanted: Sequence[str], names: Sequence[str], key_suffix: str | None) -> str | None:
    with_suffix = [f"{name}_{key_suffix}" for name in wanted] if key_suffix else []
    return next((name for name in [*with_suffix, *wanted] if name in names), None)


def _selection_hint(names: Sequence[str], inputs: Sequence[TensorSpec], where: str) -> str:
    for inputs_name in names:
        if len(inputs) == 1 and inputs_name.startswith("x_"):
            labels_name = "y_" + inputs_name[2:]
            pair = f"{inputs_name},{labels_name}" if labels_name in names else inputs_name
            return f"Name the arrays behind the file: {where}:{pair}"
    example = ",".join(f"{spec.name}=ARRAY" for spec in inputs)
    return f"Name the arrays behind the file, as in {where}:{example},y=LABELS, or rename them in the file."


def _parse_selection(selection: str, names: Sequence[str], inputs: Sequence[TensorSpec], where: str) -> Chosen:
    order = [*(spec.name for spec in inputs), LABELS_NAME]
    found: dict[str, str] = {}
    for part in (text.strip() for text in selection.split(",")):
        target, _, array = part.rpartition("=")
        target = target or next((name for name in order if name not in found), "")
        if target == SINGLE_INPUT_NAME and target not in order and len(inputs) == 1:
            target = inputs[0].name
        if target not in order or target in found:
            raise DataError(
                f"{where}: the selection {selection!r} does not fit a model with "
                f"{len(inputs)} input(s): {', '.join(order[:-1])}.",
                hint="List one array per input, then the labels: x_eval,y_eval, or input=array,…,y=array.",
            )
        if array not in names:
            raise DataError(
                f"{where}: there is no array {array!r}. Received arrays: {', '.join(names) or 'none'}",
                hint=_selection_hint(names, inputs, where),
            )
        found[target] = array
    missing = [spec.name for spec in inputs if spec.name not in found]
    if missing:
        raise DataError(
            f"{where}: the selection {selection!r} names no array for the input {', '.join(missing)}.",
            hint="List one array per input, then the labels: x_eval,y_eval, or input=array,…,y=array.",
        )
    return Chosen(inputs={spec.name: found[spec.name] for spec in inputs}, labels=found.get(LABELS_NAME))
