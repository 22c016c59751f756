"""The split that HETERO makes of a model, on a stand-in: no machine of the tests has two devices for OpenVINO."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from edgeai_runtime.engines.openvino_placement import list_operations


class _Fact(str):
    def astype(self, _: type) -> str:
        return str(self)


def _node(name: str, kind: str, layers: str) -> Any:
    facts = {"layerType": _Fact(kind), "originalLayersNames": _Fact(layers)}
    return SimpleNamespace(get_rt_info=lambda: facts, get_type_name=lambda: kind, get_friendly_name=lambda: name)


def _compiled(devices: list[str]) -> Any:
    nodes = [_node("a", "Convolution", "conv,relu"), _node("b", "Softmax", "soft"), _node("p", "Parameter", "x")]
    nodes.append(_node("c", "Reorder", ""))
    graph = SimpleNamespace(get_ordered_ops=lambda: nodes)
    return SimpleNamespace(get_property=lambda _: devices, get_runtime_model=lambda: graph)


def test_each_operation_is_on_the_device_of_its_layers_and_unknown_where_nobody_tells() -> None:
    split = {"relu": "GPU.0", "soft": "CPU"}
    operations = list_operations(_compiled(["GPU.0", "CPU"]), "openvino:hetero", "unknown", split)
    assert [(one.op_type, one.device, one.delegate) for one in operations] == [
        ("Convolution", "gpu", "openvino:gpu"),
        ("Softmax", "cpu", "openvino:cpu"),
        ("Reorder", "unknown", "openvino:hetero"),
    ]


def test_one_device_runs_everything() -> None:
    operations = list_operations(_compiled(["NPU"]), "openvino:npu", "npu", None)
    assert {(one.device, one.delegate) for one in operations} == {("npu", "openvino:npu")}


def test_auto_that_still_serves_from_the_cpu_says_so() -> None:
    operations = list_operations(_compiled(["(CPU)"]), "openvino:auto", "unknown", None)
    assert {one.device for one in operations} == {"cpu"}
