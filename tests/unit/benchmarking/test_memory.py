"""The memory of a process that only runs one artifact."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edgeai.benchmarking.memory import MOST_POINTS, measure_memory, thin_curve
from edgeai_runtime.errors import UsageError
from tests.conftest import MakeFake

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

#: float32 values of an input of 32 MiB: it and what is computed from it are held while the model runs.
BIG = 8 * 1024 * 1024


def test_what_a_call_holds_shows_in_the_peak_and_in_the_curve(make_fake: MakeFake) -> None:
    found = measure_memory(
        make_fake(slow_ms={"fake:cpu": 20}),
        variant="net",
        delegate="fake:cpu",
        seconds=0.3,
        arrays=[np.ones((BIG // 2, 2), np.float32)],
    )

    assert found.before_mib is not None
    assert found.peak_mib is not None
    assert found.steady_mib is not None
    assert found.loaded_mib is not None
    assert found.peak_mib - found.before_mib > 30
    assert max(mib for _, mib in found.curve) <= found.peak_mib + 1
    assert [at for at, _ in found.curve] == sorted(at for at, _ in found.curve)
    assert 2 <= len(found.curve) <= MOST_POINTS
    assert found.curve[-1][0] >= 0.3


def test_memory_is_measured_for_more_than_no_time(make_fake: MakeFake) -> None:
    with pytest.raises(UsageError, match="Received: 0"):
        measure_memory(make_fake(), seconds=0)


def test_a_long_curve_keeps_its_peak_and_its_ends() -> None:
    curve = [(float(at), 500.0 if at == 3337 else 100.0 + at / 1e4) for at in range(10_000)]

    thinned = thin_curve(curve)

    assert len(thinned) <= MOST_POINTS
    assert (thinned[0], thinned[-1]) == (curve[0], curve[-1])
    assert (3337.0, 500.0) in thinned
    assert thinned == sorted(thinned)
