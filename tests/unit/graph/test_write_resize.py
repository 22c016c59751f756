"""Resize says only the axes it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.passes.write_resize import write_resize

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]

_MAP = {"inputs": "float[N,3,5,6] x", "outputs": "float[a,b,c,d] z"}


def _resize(model: Any) -> Any:
    return next(node for node in model.graph if node.op_type == "Resize")


def _ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def test_sizes_from_the_shape_become_constant(build: Build, apply: Apply) -> None:
    model = build(
        's = Shape<end = 2>(x) t = Concat<axis = 0>(s, size) z = Resize<mode = "linear">(x, , , t)',
        **_MAP,
        size=_ints(10, 9),
    )
    assert apply(write_resize, model)[1]
    assert _resize(model).inputs[3].const_value.numpy().tolist() == [10, 9]
    assert list(_resize(model).attributes["axes"].value) == [2, 3]


def test_the_batch_written_into_sizes_may_be_free_again(build: Build, apply: Apply) -> None:
    model = build('z = Resize<mode = "nearest">(x, , , size)', **_MAP, size=_ints(2, 3, 10, 12))
    assert apply(write_resize, model)[1]
    assert list(_resize(model).attributes["axes"].value) == [2, 3]


@pytest.mark.parametrize("body", ["z = Resize(x, , scales)", "z = Resize<axes = [2, 3]>(x, , , size)"])
def test_other_ways_to_resize_stay(build: Build, apply: Apply, body: str) -> None:
    scales = {"scales": np.array([1, 1, 2, 2], np.float32)} if "scales" in body else {"size": _ints(10, 12)}
    assert apply(write_resize, build(body, **_MAP, **scales))[1] is False
