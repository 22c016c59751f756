"""The value ranges of a graph's tensors, as found on calibration data by several estimators at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeai_converters.spec import RangeMethod


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Ranges by method, then by the name of the graph's value: `(low, high)` in real units.

    Attributes:
        tensors: `tensors["mse"]["relu_1"] == (0.0, 5.3)`. Every method covers the same values.
        samples: how many samples they were seen on.
        channel_means: mean per channel of what layers with weights read and answer, for the correction of biases;
            empty when it was not asked for.
        channel_maxima: largest magnitude per channel of the same values; empty when it was not asked for.
    """

    tensors: dict[RangeMethod, dict[str, tuple[float, float]]]
    samples: int
    channel_means: dict[str, tuple[float, ...]] = field(default_factory=dict)
    channel_maxima: dict[str, tuple[float, ...]] = field(default_factory=dict)
