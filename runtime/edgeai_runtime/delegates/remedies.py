"""What is tried, in order, before a delegate whose numbers are wrong, or that crashes, is given up.

One literal table: delegate → named changes of its options. Each is tried in a child process like the delegate itself;
the first with which the golden outputs come back is used, and `model.placement.attempts` names it. The order is from
what costs least speed to what costs most: pin float32, no half precision, fewer operations on the delegate. The last
remedy, the next device, needs no entry: it is what happens when these are exhausted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change of options with the name it has in reports; no name: the options as they are."""

    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


_OPENVINO_F32 = Remedy(name="pin f32", options={"INFERENCE_PRECISION_HINT": "f32"})
_OPENVINO_ACCURACY = Remedy(
    name="accuracy mode", options={"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}
)

REMEDIES: dict[str, tuple[Remedy, ...]] = {
    "openvino:cpu": (_OPENVINO_F32,),
    "openvino:gpu": (_OPENVINO_F32, _OPENVINO_ACCURACY),
    "openvino:npu": (Remedy(name="accuracy mode", options={"EXECUTION_MODE_HINT": "ACCURACY"}),),
    **{
        f"fake:{device}": (
            Remedy(name="pin f32", options={"precision": "f32"}),
            Remedy(name="no fp16", options={"fp16": "0"}),
            Remedy(name="fewer operations", options={"operations": "few"}),
        )
        for device in ("cpu", "gpu", "npu")
    },
}


def remedies_for(delegate: str, options: Mapping[str, str]) -> tuple[Remedy, ...]:
    """Return what to try on `delegate`, in order: nothing, then the remedies that change something of `options`."""
    helpful = (
        remedy
        for remedy in REMEDIES.get(delegate, ())
        if any(options.get(name) != value for name, value in remedy.options.items())
    )
    return (Remedy(), *helpful)
