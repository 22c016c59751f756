"""Tiny models written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SaveOnnx = Callable[..., Path]


@pytest.fixture
def save_onnx(tmp_path: Path) -> SaveOnnx:
    """Return a function that saves nodes and constants as an ONNX model with the input `x` and the output `y`."""

    def save(
        nodes: Sequence[onnx.NodeProto],
        constants: dict[str, np.ndarray],  # type: ignore[type-arg]
        *,
        shape: Sequence[int | str],
        name: str = "model.onnx",
        opset: int = 18,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, key) for key, array in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        path = tmp_path / name
        onnx.save(model, path)
        return path

    return save
