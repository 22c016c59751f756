"""A bundle in NCHW around an artifact in NHWC: samples are stored as the artifact has them, wrappers turn them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai.exporting import export

SAMPLES = np.arange(48, dtype=np.float32).reshape(2, 4, 2, 3)


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """A bundle of one ReLU whose tensors are [1, 4, 2, 3] in NCHW, and [1, 2, 3, 4] in the artifact."""
    pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the format is described in ai-edge-litert")
    import onnx_ir as ir
    from onnx import TensorProto, helper

    from edgeai_converters.emit.tflite.writer import emit_tflite
    from edgeai_converters.graph.shapes import infer_shapes
    from edgeai_converters.inspection.table import inspect_artifact
    from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
    from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
    from edgeai_runtime.record import replace

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 3, 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    infer_shapes(model)
    artifact = emit_tflite(model, tmp_path).path
    found = inspect_artifact(artifact, "tflite")
    members: dict[str, Path | bytes] = {
        "model.tflite": artifact,
        "golden/inputs.npz": npz_bytes({"x": SAMPLES}),
        "golden/outputs.npz": npz_bytes({"source/y": SAMPLES, "v/y": SAMPLES}),
    }
    outer = {name: TensorSpec(name=name, shape=(1, 4, 2, 3), dtype="float32", layout="NCHW") for name in "xy"}
    variant = Variant(
        id="v",
        format="tflite",
        precision="float32",
        delegates=(),
        files=(file_entry("model.tflite", artifact),),
        inputs=(replace(found.inputs[0], layout="NHWC"),),
        outputs=(replace(found.outputs[0], layout="NHWC"),),
    )
    manifest = Manifest(
        name="turned",
        version="1",
        inputs=(outer["x"],),
        outputs=(outer["y"],),
        variants=(variant,),
        golden=tuple(file_entry(name, members[name]) for name in members if name.startswith("golden/")),
    )
    write_bundle(tmp_path / "turned.edge", manifest, members)
    return tmp_path / "turned.edge"


@pytest.mark.parametrize("role", ["input", "output"])
def test_samples_in_c_lie_as_the_artifact_has_them(turned: Path, tmp_path: Path, role: str) -> None:
    export(turned, to="c", out=tmp_path / "c")
    text = (tmp_path / "c" / "turned_golden.c").read_text().split(f"golden_{role}_0")[1].split("= {")[1].split("};")[0]
    values = [
        float(each) for each in text.replace("{", "").replace("}", "").replace("f", "").split(",") if each.strip()
    ]
    np.testing.assert_array_equal(np.array(values).reshape(2, 2, 3, 4), SAMPLES.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("to", "source", "before", "after"),
    [
        ("android", "src/main/kotlin/edgeai/turned/TurnedModel.kt", "intArrayOf(0, 2, 3, 1)", "intArrayOf(0, 3, 1, 2)"),
        ("ios", "Sources/TurnedModel.swift", "[0, 2, 3, 1]", "[0, 3, 1, 2]"),
    ],
)
def test_wrappers_turn_the_sample_before_and_the_result_after(
    turned: Path, tmp_path: Path, to: str, source: str, before: str, after: str
) -> None:
    export(turned, to=to, out=tmp_path / to)
    calls = [line for line in (tmp_path / to / source).read_text().splitlines() if ".permute(" in line]
    assert len(calls) == 2
    assert "store0(" in calls[0]
    assert before in calls[0]
    assert "read0(" in calls[1]
    assert after in calls[1]
