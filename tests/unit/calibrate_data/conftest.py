"""Small data files and model inputs for the tests of data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.manifest import TensorSpec

SaveNpz = Callable[..., str]


@pytest.fixture
def save_npz(tmp_path: Path) -> SaveNpz:
    """Write arrays to a `.npz` in the test's folder and return its path."""

    def save(name: str = "data.npz", **arrays: Any) -> str:
        path = tmp_path / name
        np.savez(path, **arrays)
        return str(path)

    return save


@pytest.fixture
def vector_input() -> list[TensorSpec]:
    """One float input of 4 values."""
    return [TensorSpec(name="input", shape=(None, 4), dtype="float32")]


@pytest.fixture
def image_input() -> list[TensorSpec]:
    """One float NHWC image input, 6 high and 5 wide."""
    return [TensorSpec(name="image", shape=(1, 6, 5, 3), dtype="float32", layout="NHWC")]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)
