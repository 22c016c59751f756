"""What training reads: prepared inputs by name, and labels, in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.splits import Split
from edgeai_runtime.errors import DataError


class Examples(Protocol):
    """Samples that can be read in any order."""

    @property
    def labels(self) -> NDArray[Any] | None:
        """One label per sample: class indices `[n]`, or targets `[n, …]`; `None` without."""
        ...

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return prepared inputs by name, `[len(indices), …]`, in the order asked for."""
        ...


@dataclass(frozen=True, kw_only=True)
class ArrayExamples:
    """Samples held as one array per input, `[n, …]`, ready for the model."""

    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Check that all arrays have as many samples."""
        counts = {len(array) for array in (*self.inputs.values(), *(() if self.labels is None else (self.labels,)))}
        if len(counts) != 1:
            raise DataError(f"Inputs and labels have different numbers of samples: {sorted(counts)}.")

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(next(iter(self.inputs.values())))

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the inputs of some samples."""
        return {name: array[indices] for name, array in self.inputs.items()}


@dataclass(frozen=True, kw_only=True)
class SplitExamples:
    """The samples of a split of a data set, prepared when they are read."""

    split: Split

    @property
    def labels(self) -> NDArray[Any] | None:
        """The labels of the split."""
        return self.split.labels

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(self.split)

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the prepared inputs of some samples."""
        chosen = np.asarray(self.split.indices)[indices]
        parts = list(self.split.dataset.batches(chosen, len(chosen)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
