"""Attention becomes products and a Softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeai_converters.graph.passes.write_attention import write_attention

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]

_APART = {
    "inputs": "float[N,4,5,8] q, float[N,4,6,8] k, float[N,4,6,8] v",
    "outputs": "float[N,4,5,8] z",
    "opset": 23,
}
_FLAT = {
    "inputs": "float[N,5,32] q, float[N,6,32] k, float[N,6,32] v",
    "outputs": "float[N,5,32] z",
    "opset": 23,
}
_HEADS = "q_num_heads = 4, kv_num_heads = 4"
_MASK = np.array(np.tri(5, 6) > 0)


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        ("z = Attention(q, k, v)", _APART),
        ("z = Attention<scale = 0.3>(q, k, v)", _APART),
        ("z = Attention<is_causal = 1>(q, k, v)", _APART),
        ("z = Attention(q, k, v, mask)", _APART | {"mask": _MASK}),
        ("z = Attention(q, k, v, mask)", _APART | {"mask": (5, 6)}),
        (f"z = Attention<{_HEADS}>(q, k, v)", _FLAT),
        (f"z = Attention<{_HEADS}, is_causal = 1>(q, k, v)", _FLAT),
    ],
)
def test_attention_is_products(build: Build, apply: Apply, body: str, boundary: dict[str, Any]) -> None:
    counts, changed = apply(write_attention, build(body, **boundary))
    assert changed
    assert counts["MatMul"] == 2
    assert "Attention" not in counts


def test_past_keys_and_values_come_first_and_go_out(build: Build, apply: Apply) -> None:
    model = build(
        "z, keys, values = Attention(q, k, v, , past_k, past_v)",
        inputs="float[N,4,1,8] q, float[N,4,1,8] k, float[N,4,1,8] v, float[N,4,6,8] past_k, float[N,4,6,8] past_v",
        outputs="float[N,4,1,8] z, float[N,4,7,8] keys, float[N,4,7,8] values",
        opset=23,
    )
    counts, changed = apply(write_attention, model)
    assert changed
    assert counts["Concat"] == 2


def test_grouped_heads_stay(build: Build, apply: Apply) -> None:
    model = build(
        "z = Attention(q, k, v)",
        inputs="float[N,4,5,8] q, float[N,2,6,8] k, float[N,2,6,8] v",
        outputs="float[N,4,5,8] z",
        opset=23,
    )
    assert apply(write_attention, model)[1] is False
