"""What to keep in float next, for a search: measured on calibration samples, kept in the work folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.variant import Variant


def by_sensitivity(calibration: Calibration, scheme: str, variant: Variant) -> Sequence[Mapping[str, str]]:
    """Return growing sets of the nodes that lose most in 8 bits, with the reason."""
    return ()


def by_islands(calibration: Calibration, scheme: str, variant: Variant) -> Sequence[Mapping[str, str]]:
    """Return sets of nodes whose conversions to and from integers cost more than they gain, with the reason."""
    return ()
