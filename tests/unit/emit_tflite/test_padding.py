"""When TFLite's SAME and VALID say what the graph says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_converters.emit.tflite.padding import onnx_amounts, resolve_padding, same_amounts


@pytest.mark.parametrize(
    ("size", "output", "pads", "kernel", "stride", "mode", "before"),
    [
        (8, 8, (1, 1), 3, 1, "SAME", (0, 0)),
        (8, 4, (1, 1), 3, 2, "VALID", (1, 0)),  # SAME would be (0, 1); the last column is never read
        (9, 5, (1, 1), 3, 2, "SAME", (0, 0)),
        (8, 6, (0, 0), 3, 1, "VALID", (0, 0)),
        (113, 56, (0, 0), 3, 2, "VALID", (0, 0)),
        (8, 4, (0, 0), 3, 2, "SAME", (0, 0)),  # ceil_mode: the window hangs over by one
        (None, None, (1, 1), 3, 1, "SAME", (0, 0)),
        (None, None, (1, 1), 3, 2, "VALID", (1, 1)),
    ],
)
def test_padding_is_said_by_mode_where_it_can_be(
    size: int | None,
    output: int | None,
    pads: tuple[int, int],
    kernel: int,
    stride: int,
    mode: str,
    before: tuple[int, int],
) -> None:
    found = resolve_padding((size,), (output,), [pads], [kernel], [stride])
    assert (found.mode, found.before) == (mode, (before,))


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
    begin=st.integers(0, 3),
    end=st.integers(0, 3),
)
def test_resolved_windows_start_where_the_graphs_do(size: int, kernel: int, stride: int, begin: int, end: int) -> None:
    if size + begin + end < kernel:
        return
    output = (size + begin + end - kernel) // stride + 1
    found = resolve_padding((size,), (output,), [(begin, end)], [kernel], [stride])
    added = found.before[0] if found.mode == "VALID" else same_amounts(size, kernel, stride)
    padded = size + sum(added)
    assert added[0] == begin
    assert (padded - kernel) // stride + 1 == output


def test_automatic_padding_puts_the_smaller_half_first_or_last() -> None:
    assert onnx_amounts("SAME_UPPER", [], 8, 3, 2, 0) == (0, 1)
    assert onnx_amounts("SAME_LOWER", [], 8, 3, 2, 0) == (1, 0)
    assert onnx_amounts("NOTSET", [1, 2, 3, 4], 8, 3, 1, 1) == (2, 4)
    with pytest.raises(ValueError, match="free dimension"):
        onnx_amounts("SAME_UPPER", [], None, 3, 2, 0)
