"""A small bundle with steps, labels and recorded samples, written without an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

LABELS = ("zero", 'one "1"', "two ??/ $x \\n é")


@dataclass(frozen=True, kw_only=True)
class Small:
    """The bundle, and the layer in it: `y = x · weights + bias`."""

    path: Path
    model: Path
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """A dense layer of 4 to 3 in float32, with bytes scaled before it and three labels after it."""
    pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the format is described in ai-edge-litert")
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    from edgeai_converters.emit.tflite.writer import emit_tflite
    from edgeai_converters.graph.shapes import infer_shapes
    from edgeai_converters.inspection.table import inspect_artifact
    from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
    from edgeai_runtime.manifest import Manifest, Step, TensorSpec, Tolerance, Variant

    generator = np.random.default_rng(0)
    weights = generator.normal(size=(4, 3)).astype(np.float32)
    bias = generator.normal(size=3).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    infer_shapes(model)
    artifact = emit_tflite(model, tmp_path).path
    found = inspect_artifact(artifact, "tflite")
    raw = generator.integers(0, 256, (5, 4)).astype(np.uint8)
    outputs = (raw * np.float32(0.25)) @ weights + bias
    members: dict[str, Path | bytes] = {
        "variants/float/model.tflite": artifact,
        "golden/inputs.npz": npz_bytes({"x": raw}),
        "golden/outputs.npz": npz_bytes({"source/y": outputs, "float/y": outputs}),
        "labels.txt": "".join(f"{label}\n" for label in LABELS).encode(),
    }
    tensors = {name: TensorSpec(name=name, shape=(1, size), dtype="float32") for name, size in (("x", 4), ("y", 3))}
    manifest = Manifest(
        name="Small-net.2",
        version="1",
        inputs=(tensors["x"],),
        outputs=(tensors["y"],),
        variants=(
            Variant(
                id="float",
                format="tflite",
                precision="float32",
                delegates=("litert:xnnpack",),
                files=(file_entry("variants/float/model.tflite", artifact),),
                inputs=found.inputs,
                outputs=found.outputs,
                tolerance={"y": Tolerance(atol=0.001, rtol=0.0)},
            ),
        ),
        golden=tuple(file_entry(name, members[name]) for name in members if name.startswith("golden/")),
        preprocessing={"x": (Step(op="cast", params={"dtype": "float32"}), Step(op="scale", params={"factor": 0.25}))},
        postprocessing={"y": (Step(op="softmax"), Step(op="labels", params={"top": 2}))},
        labels=file_entry("labels.txt", members["labels.txt"]),
    )
    path = tmp_path / "small.edge"
    write_bundle(path, manifest, members)
    return Small(path=path, model=artifact, weights=weights, bias=bias)
