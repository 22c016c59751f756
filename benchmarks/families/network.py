"""What a builder returns: a network, its inputs, and samples drawn for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_SEED = 20
_BATCH, _LENGTH = 3, 11  # sizes that free axes take in examples; neither is a size of any layer


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of one framework.

    Attributes:
        model: a `torch.nn.Module` in evaluation mode, or a Keras model.
        shapes: shape by input name, in the order of the arguments; `None` is a free axis.
        vocabulary: for inputs that hold integers, how many values they take.
        outputs: names of the outputs, in order.
    """

    model: Any
    shapes: Mapping[str, tuple[int | None, ...]]
    outputs: tuple[str, ...]
    vocabulary: Mapping[str, int] = field(default_factory=dict)

    def free_axes(self) -> dict[str, dict[int, str]]:
        """Return the name of every free axis by input: `batch` for the first, `length` for others."""
        return {
            name: {axis: "batch" if axis == 0 else "length" for axis, size in enumerate(shape) if size is None}
            for name, shape in self.shapes.items()
        }

    def fixed_shapes(self, *, batch: int = 1, length: int = _LENGTH) -> dict[str, tuple[int, ...]]:
        """Return the shapes with sizes in place of free axes."""
        return {
            name: tuple((batch if axis == 0 else length) if size is None else size for axis, size in enumerate(shape))
            for name, shape in self.shapes.items()
        }

    def draw(self, *, batch: int = _BATCH) -> dict[str, Any]:
        """Return one drawn array per input; free batches get `batch` samples.

        Floats are normal (float32), integers uniform (int64) below the vocabulary.
        """
        rng = np.random.default_rng(_SEED)
        arrays = {}
        for name, shape in self.fixed_shapes(batch=batch).items():
            if name in self.vocabulary:
                arrays[name] = rng.integers(0, self.vocabulary[name], shape)
            else:
                arrays[name] = rng.normal(0, 1, shape).astype(np.float32)
        return arrays
