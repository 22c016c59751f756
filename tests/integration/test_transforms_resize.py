"""Resizing against ONNX Runtime's `Resize`, which the documentation of the operation refers to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.pipeline import apply_steps

BILINEAR_ATOL = 1e-5  # values in 0 to 1; the engine computes positions in float32
NEAREST_EXACT = 0.0

pytestmark = pytest.mark.onnxruntime


def reference(image: Any, height: int, width: int, method: str) -> Any:
    """Resize [n, C, H, W] with ONNX Runtime, half-pixel centres, no antialiasing."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    sizes = np.array([*image.shape[:2], height, width], np.int64)
    node = helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        mode="linear" if method == "bilinear" else "nearest",
        coordinate_transformation_mode="half_pixel",
        nearest_mode="round_prefer_ceil",
    )
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes.tolist())],
        [helper.make_tensor("sizes", TensorProto.INT64, [4], sizes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": image})[0]


@pytest.mark.parametrize(("method", "atol"), [("bilinear", BILINEAR_ATOL), ("nearest", NEAREST_EXACT)])
@pytest.mark.parametrize("size", [(224, 224), (7, 9), (1, 1), (32, 17), (5, 40), (13, 31)])
def test_resize_gives_what_onnxruntime_gives(size: tuple[int, int], method: str, atol: float) -> None:
    image = np.random.default_rng(0).random((2, 3, 13, 31), np.float32)
    height, width = size
    step = Step(op="resize", params={"height": height, "width": width, "method": method, "layout": "NCHW"})
    np.testing.assert_allclose(apply_steps([step], image), reference(image, height, width, method), rtol=0, atol=atol)
