"""The memory plan against engines: addresses that LiteRT gives to tensors, what TensorFlow Lite Micro reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeai_converters.emit.tflite.writer import emit_tflite
from edgeai_converters.facts.tflite import read_tflite_facts
from edgeai_converters.graph.shapes import infer_shapes
from edgeai_devices.memory_arena import plan_arena
from edgeai_devices.operator_facts import ModelFacts

pytestmark = pytest.mark.litert

MINE_TO_THEIRS = 64
"""Bytes by which the last tensor's end may differ: the engine places tensors of a few bytes in another order."""


@pytest.fixture
def branches(tmp_path: Path) -> Path:
    """Depthwise convolutions, which need no memory of their own, of two branches that are added and joined."""
    generator = np.random.default_rng(0)
    constants = {name: generator.normal(size=(8, 1, 3, 3)).astype(np.float32) for name in "abc"}
    constants |= {f"{name}0": np.zeros(8, np.float32) for name in "abc"}
    same: dict[str, Any] = {"kernel_shape": [3, 3], "group": 8, "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "a", "a0"], ["p"], **same),
        helper.make_node("Conv", ["p", "b", "b0"], ["q"], **same),
        helper.make_node("Conv", ["q", "c", "c0"], ["r"], **same),
        helper.make_node("Add", ["p", "r"], ["s"]),
        helper.make_node("MaxPool", ["s"], ["t"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["q"], ["u"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Concat", ["t", "u"], ["v"], axis=1),
        helper.make_node("GlobalAveragePool", ["v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    model = ir.load(tmp_path / "m.onnx")
    infer_shapes(model)
    return emit_tflite(model, tmp_path).path


def addresses(path: Path, facts: ModelFacts) -> dict[str, tuple[int, int]]:
    """Return where LiteRT put each tensor of the plan, and how many bytes it has."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    plain = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    model = interpreter.Interpreter(str(path), experimental_op_resolver_type=plain, num_threads=1)
    model.allocate_tensors()
    views = {life.name: model.tensor(int(life.name.split(":")[0]))() for life in facts.tensors}
    return {name: (int(view.__array_interface__["data"][0]), view.nbytes) for name, view in views.items()}


def span(found: dict[str, tuple[int, int]]) -> int:
    return max(start + size for start, size in found.values()) - min(start for start, _ in found.values())


def test_litert_needs_as_much_as_the_plan_says(branches: Path) -> None:
    facts = read_tflite_facts(branches)
    found = addresses(branches, facts)
    plan = plan_arena(facts.tensors, "litert")

    assert {life.name: life.size_bytes for life in facts.tensors} == {name: size for name, (_, size) in found.items()}
    assert abs(span(found) - plan.peak_bytes) <= MINE_TO_THEIRS
    assert plan.peak_bytes < sum(life.size_bytes for life in facts.tensors)


def test_litert_shares_memory_where_the_plan_does(branches: Path) -> None:
    facts = read_tflite_facts(branches)
    found = addresses(branches, facts)
    shared = {life.name: life.overwrites for life in facts.tensors if life.overwrites}

    assert shared
    assert {name: found[name][0] for name in shared} == {name: found[owner][0] for name, owner in shared.items()}


@pytest.mark.assets
@pytest.mark.parametrize(
    "model",
    [
        "imagenet_sample/mobilenet_v2_1.0_224_quant.tflite",
        "mlperf_tiny/anomaly_detection/ad01_int8.tflite",
        "mlperf_tiny/keyword_spotting/kws_ref_model.tflite",
    ],
)
def test_real_models_take_in_litert_what_the_plan_says(assets: Path, model: str) -> None:
    facts = read_tflite_facts(assets / model)

    found = span(addresses(assets / model, facts))

    assert abs(found - plan_arena(facts.tensors, "litert").peak_bytes) <= MINE_TO_THEIRS


@pytest.mark.assets
@pytest.mark.parametrize(
    ("model", "head_bytes"),
    [
        # Reported as "Arena allocation head" by the recording interpreter of tflite-micro 0.dev20261023182759.
        ("tflite_micro/hello_world_int8.tflite", 32),
        ("tflite_micro/person_detect.tflite", 55296),
        ("mlperf_tiny/anomaly_detection/ad01_fp32.tflite", 3072),
        ("mlperf_tiny/image_classification/pretrainedResnet_quant.tflite", 49152),
        ("mlperf_tiny/image_classification/pretrainedResnet.tflite", 196608),
        ("mlperf_tiny/keyword_spotting/kws_ref_model.tflite", 16000),
    ],
)
def test_real_models_take_on_microcontrollers_what_their_interpreter_reported(
    assets: Path, model: str, head_bytes: int
) -> None:
    facts = read_tflite_facts(assets / model)

    assert plan_arena(facts.tensors, "micro").peak_bytes == head_bytes


def test_the_interpreter_for_microcontrollers_reports_the_plan(
    branches: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime = pytest.importorskip(
        "tflite_micro.python.tflite_micro.runtime", reason="tflite-micro is not installed; it has a wheel for Linux"
    )
    recording = runtime.InterpreterConfig.kAllocationRecording
    runtime.Interpreter.from_file(str(branches), arena_size=1_000_000, intrepreter_config=recording).print_allocations()
    told = capfd.readouterr()
    head = next(line for line in (told.out + told.err).splitlines() if "Arena allocation head" in line)

    assert int(head.split()[-2]) == plan_arena(read_tflite_facts(branches).tensors, "micro").peak_bytes
