"""Phases, memory and noise of real engines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai.benchmarking.memory import measure_memory
from edgeai.benchmarking.phases import measure_phases

#: The library of an engine, its model and its buffers are held beside Python and numpy: at least so much.
ENGINE_MIB = 5.0


@pytest.fixture
def graph() -> Any:
    """A convolution and a ReLU, x `[1, 3, 16, 16]`."""
    import onnx_ir
    from onnx import helper, numpy_helper

    from edgeai_converters.graph.simplify import simplify

    weights = numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["y"])]
    x = helper.make_tensor_value_info("x", 1, [1, 3, 16, 16])
    y = helper.make_tensor_value_info("y", 1, [1, 8, 16, 16])
    model = helper.make_model(
        helper.make_graph(nodes, "net", [x], [y], [weights]), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    return simplify(onnx_ir.serde.deserialize_model(model))[0]


def _emitted(graph: Any, format: Any, folder: Path) -> Path:
    from edgeai_converters.emit.table import emit

    return Path(emit(graph, format, folder).path)


@pytest.mark.openvino
def test_openvino_starts_from_what_it_compiled_before(graph: Any, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path = _emitted(graph, "openvino", tmp_path)

    found = measure_phases(path, delegate="openvino:cpu", repeats=1, warm_s=0.05)

    assert found.compile_cached_ms is not None
    assert found.compile_cached_ms > 0
    assert found.compile_cold_ms > found.load_ms
    assert found.import_ms > found.process_start_ms
    assert set(found.spread) >= {"compile_cached_ms", "compile_cold_ms"}


@pytest.mark.litert
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_bare_file_is_started_and_its_memory_counted(graph: Any, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    path = _emitted(graph, "tflite", tmp_path)

    phases = measure_phases(path, repeats=1, warm_s=0.05)
    memory = measure_memory(path, delegate="litert:xnnpack", seconds=0.2)

    assert phases.warm_ms > 0
    assert phases.first_ms >= 0.2 * phases.warm_ms
    assert memory.before_mib is not None
    assert memory.loaded_mib is not None
    assert memory.steady_mib is not None
    assert memory.loaded_mib > memory.before_mib + ENGINE_MIB
    assert memory.steady_mib == pytest.approx(memory.loaded_mib, abs=ENGINE_MIB)
    assert memory.curve[0][1] < memory.curve[-1][1]
