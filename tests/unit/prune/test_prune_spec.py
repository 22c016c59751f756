"""What pruning is asked for: one amount, of those the method knows, and errors that name the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai_converters.prune.pruning_spec import AMOUNTS, METHODS, PruneSpec
from edgeai_converters.prune.ways import PACKED, WAYS
from edgeai_converters.spec import DataSpec
from edgeai_runtime.errors import UsageError


def _spec(**given: Any) -> PruneSpec:
    return PruneSpec(source=Path("net.onnx"), data=DataSpec(data="x.npz"), **given)


def test_every_method_has_a_way_and_amounts() -> None:
    assert set(WAYS) == set(AMOUNTS) == set(METHODS)
    assert set(METHODS) > PACKED


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ({}, ("share", 0.3)),
        ({"target_latency": 0.5}, ("target_latency", 0.5)),
        ({"target_size": 0.4}, ("target_size", 0.4)),
        ({"method": "depth"}, ("blocks", 1)),
        ({"method": "depth", "share": 0.2}, ("share", 0.2)),
        ({"method": "low-rank"}, ("share", 0.3)),
        ({"method": "sparse"}, ("share", 0.5)),
        ({"method": "sparse", "pattern": (2, 4)}, ("pattern", (2, 4))),
        ({"method": "clusters"}, ("clusters", 16)),
    ],
)
def test_one_amount_says_how_much(given: dict[str, Any], amount: tuple[str, Any]) -> None:
    assert _spec(**given).amount == amount


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"method": "chanels"}, "Unknown method", "channels"),
        ({"importance": "tailor"}, "Unknown importance", "taylor"),
        ({"engine_format": "tf-lite"}, "Unknown format", "tflite"),
        ({"precision": "int4"}, "Unknown precision", "int8"),
        ({"clusters": 8}, "--clusters is not for the method channels", "--clusters is for clusters"),
        ({"method": "clusters", "share": 0.5}, "--share is not for", "--clusters says how much"),
        ({"share": 0.3, "target_latency": 0.5}, "said once", "--share or --target-latency"),
        ({"target_latency": 1.0}, "whole network's latency", ""),
        ({"target_size": 0.0}, "whole network's size", ""),
        ({"method": "sparse", "pattern": (4, 4)}, "2:4", ""),
        ({"method": "clusters", "clusters": 1}, "two clusters", ""),
        ({"method": "depth", "blocks": 0}, "blocks must be 1", ""),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_way_out(given: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _spec(**given)
    assert hint in (caught.value.hint or "")
