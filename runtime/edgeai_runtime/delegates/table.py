"""The table of delegates that this runtime can use. A device that is not in it is never claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edgeai_runtime.manifest import Format
from edgeai_runtime.placement import Device


class DelegateOption(NamedTuple):
    """One option of a delegate: its value when none is given (empty: the engine's own choice), and what it does."""

    default: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class DelegateSpec:
    """One way an engine reaches hardware.

    Attributes:
        name: `<engine>:<delegate>`.
        engine: the engine's name in `engines/table.py`.
        device: what it runs on. XNNPACK is the CPU. `unknown`: the delegate itself decides, model by model.
        verified: how far it was tried: `none`, `emulated` (a simulator), `device` (real hardware).
        needs: what must be present, in words.
        probe: `package.module:function`, called with the delegate's name, that returns a `probe.Probe`; imported when
            asked. Empty: present when its engine is.
        options: what `Engine.open` takes as `options` for it, by name.
        static_shapes: every dimension of the model must be fixed.
        precisions: what of a model it can run; anything else is left to the CPU.
        formats: the formats of artifacts it loads.
    """

    name: str
    engine: str
    device: Device
    verified: Literal["none", "emulated", "device"]
    needs: str
    probe: str = ""
    options: Mapping[str, DelegateOption] = field(default_factory=dict)
    static_shapes: bool = False
    precisions: tuple[str, ...] = ("float32", "float16", "int8")
    formats: tuple[Format, ...] = ()


DELEGATES: dict[str, DelegateSpec] = {
    spec.name: spec
    for spec in (
        DelegateSpec(
            name="litert:xnnpack",
            engine="litert",
            device="cpu",
            verified="device",
            needs="ai-edge-litert, tflite-runtime or tensorflow",
        ),
        DelegateSpec(
            name="litert:reference",
            engine="litert",
            device="cpu",
            verified="device",
            needs="ai-edge-litert, tflite-runtime or tensorflow; slow, for checking results",
        ),
        DelegateSpec(
            name="onnxruntime:cpu", engine="onnxruntime", device="cpu", verified="device", needs="onnxruntime"
        ),
        DelegateSpec(name="openvino:cpu", engine="openvino", device="cpu", verified="device", needs="openvino"),
    )
}

#: The delegates that are tried for an artifact of a format when nobody says more, best first.
DEFAULT_DELEGATES: dict[Format, tuple[str, ...]] = {
    "tflite": ("litert:xnnpack",),
    "onnx": ("onnxruntime:cpu",),
    "openvino": ("openvino:cpu",),
}

#: Delegates of the fake engine, so that the rules of placement are tested without hardware.
FAKE_DELEGATES: dict[str, DelegateSpec] = {
    f"fake:{device}": DelegateSpec(
        name=f"fake:{device}", engine="fake", device=device, verified="none", needs="nothing: it is for tests"
    )
    for device in ("cpu", "gpu", "npu")
}


def find_delegate(name: str) -> DelegateSpec | None:
    """Return the delegate `name`, or `None` when this runtime has none of that name."""
    return DELEGATES.get(name) or FAKE_DELEGATES.get(name)
