"""What opening an artifact costs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edgeai.benchmarking.opened import _grown


@pytest.mark.parametrize(
    ("held", "grown"),
    [((10.0, 12.0, 57.0, 58.0), 3.0), ((10.0, 12.0, None, 58.0), None), ((None, None, None, None), None)],
)
def test_memory_grows_by_loading_and_by_the_first_call_not_by_drawing_inputs(
    held: Sequence[float | None], grown: float | None
) -> None:
    assert _grown(held) == grown
