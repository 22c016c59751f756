"""How far a quantized graph's outputs are from the float graph's on some samples: a guide, no result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.execute import GraphRunner

Arrays = Mapping[str, NDArray[Any]]


class OutputError:
    """The float graph's outputs on samples, to hold quantized graphs against.

    Graphs with Quantize/Dequantize nodes are run in float, as an engine would round.

    Attributes:
        batches: the samples, held in memory: some tens suffice.
    """

    def __init__(self, model: ir.Model, batches: Iterable[Arrays]) -> None:
        self.batches = tuple(batches)
        self._wanted = _run(model, self.batches)
        tiny = float(np.finfo(np.float64).tiny)
        self._power = {
            name: max(sum(float(np.square(one[name], dtype=np.float64).sum()) for one in self._wanted), tiny)
            for name in self._wanted[0]
        }

    def of(self, model: ir.Model) -> float:
        """Return the squared difference over the squared float output, averaged over the outputs."""
        found = _run(model, self.batches)
        shares = [
            sum(
                float(np.square(a[name].astype(np.float64) - b[name]).sum())
                for a, b in zip(found, self._wanted, strict=True)
            )
            / power
            for name, power in self._power.items()
        ]
        return float(np.mean(shares))


def _run(model: ir.Model, batches: Iterable[Arrays]) -> list[dict[str, NDArray[Any]]]:
    runner = GraphRunner(model)
    return [runner.run(batch) for batch in batches]
