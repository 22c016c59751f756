"""What a model says of its memory, and that closing gives it back; each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeai_runtime.engines.table import get_engine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell private memory")

PROGRAM = """
import json, sys
import numpy as np
from edgeai_runtime import load
from edgeai_runtime.bench.memory import resident_mib

x = np.zeros((1, 1024), np.float32)
def use():
    with load(sys.argv[1], threads=1, isolate=False) as model:
        model(x)
        return model.memory
for _ in range(4):
    use()
before = resident_mib()
memories = [use() for _ in range(16)]
after = resident_mib()
model = load(sys.argv[1], threads=1, isolate=False)
model(x)
loaded = resident_mib()
model.close()
print(json.dumps({"grown": after - before, "given_back": loaded - resident_mib(), "memory": memories[-1].__dict__}))
"""
#: 1024 x 1024 floats.
WEIGHTS_MIB = 4.0


def write_wide(engine: str, folder: Path) -> Path:
    """Write one product with 4 MiB of weights."""
    onnx = pytest.importorskip("onnx")
    import numpy as np

    weights = onnx.numpy_helper.from_array(np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32), "w")
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [1, 1024]) for name in ("x", "y"))
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "net", [x], [y], [weights])
    path = folder / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    if engine == "openvino":
        openvino = pytest.importorskip("openvino")
        openvino.save_model(openvino.convert_model(str(path)), path.with_suffix(".xml"), compress_to_fp16=False)
        return path.with_suffix(".xml")
    if engine == "litert":
        import onnx_ir

        from edgeai_converters.emit.tflite.writer import emit_tflite

        return emit_tflite(onnx_ir.load(path), folder).path
    return path


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("litert", marks=pytest.mark.litert),
        pytest.param("onnxruntime", marks=pytest.mark.onnxruntime),
        pytest.param("openvino", marks=pytest.mark.openvino),
    ],
)
def test_memory_is_told_and_given_back(engine: str, tmp_path: Path) -> None:
    info = get_engine(engine).info()
    if not info.present:
        pytest.skip(info.reason)
    artifact = write_wide(engine, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(artifact)], capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    memory = found["memory"]

    assert found["grown"] < 2 * WEIGHTS_MIB, "sixteen loads and closes hold less than two models' weights"
    assert found["given_back"] > WEIGHTS_MIB / 2
    assert memory["files_mib"] == pytest.approx(WEIGHTS_MIB, rel=0.1)
    assert memory["private_mib"] > 0
    assert memory["mapped_mib"] > 0
    assert memory["peak_mib"] >= memory["private_mib"]
    if engine != "onnxruntime":  # reads the file into memory of its own
        assert memory["files_mapped_mib"] > WEIGHTS_MIB / 2
