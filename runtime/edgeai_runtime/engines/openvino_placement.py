"""Where OpenVINO runs a compiled model: the operations of its runtime model, each with its device and kernel.

The runtime model holds the operations after fusion. `AUTO` and the single devices run all of it on the device that the
compiled model names; `HETERO` splits it, and the split is asked of `query_model`, by the names of the original layers.
What cannot be told is `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeai_runtime.placement import Device, OperationPlacement

_NOT_OPERATIONS = frozenset({"Input", "Output", "Const", "Parameter", "Result", "Constant"})
_ORIGINAL_NAMES = "originalLayersNames"


def list_operations(
    compiled: Any, delegate: str, wanted: Device, split: Mapping[str, str] | None
) -> tuple[OperationPlacement, ...]:
    """Return the operations of a compiled model.

    Args:
        compiled: the `CompiledModel`.
        delegate: the delegate that compiled it.
        wanted: the device of `delegate`; `unknown` where it chooses itself.
        split: layer name → device, where one compiled model runs on several devices.
    """
    devices = execution_devices(compiled)
    one = devices[0] if len(devices) == 1 else ""
    try:
        nodes = compiled.get_runtime_model().get_ordered_ops()
    except RuntimeError:  # a device that has none to show
        device, owner = _place(one, delegate, wanted)
        return (OperationPlacement(name="model", op_type="?", device=device, delegate=owner, reason="not told"),)
    operations = []
    for node in nodes:
        facts = node.get_rt_info()
        kind = _fact(facts, "layerType") or node.get_type_name()
        if kind in _NOT_OPERATIONS:
            continue
        name, kernel = node.get_friendly_name(), _fact(facts, "primitiveType") or _fact(facts, "execType")
        layers = [name, *_fact(facts, _ORIGINAL_NAMES).split(",")]
        where = one or next((split[layer] for layer in layers if split and layer in split), "")
        device, owner = _place(where, delegate, wanted)
        operations.append(OperationPlacement(name=name, op_type=kind, device=device, delegate=owner, kernel=kernel))
    return tuple(operations)


def execution_devices(compiled: Any) -> list[str]:
    """Return OpenVINO's names of the devices that run the model (`CPU`, `GPU.0`); empty when it does not tell."""
    try:
        return [str(name) for name in compiled.get_property("EXECUTION_DEVICES")]
    except RuntimeError:
        return []


def _place(where: str, delegate: str, wanted: Device) -> tuple[Device, str]:
    kind = where.strip("()").partition(".")[0]
    device: Device = "cpu" if kind == "CPU" else "gpu" if kind == "GPU" else "npu" if kind == "NPU" else "unknown"
    if device == wanted or device == "unknown":
        return device, delegate
    return device, f"openvino:{device}"


def _fact(facts: Any, key: str) -> str:
    return str(facts[key].astype(str)) if key in facts else ""
