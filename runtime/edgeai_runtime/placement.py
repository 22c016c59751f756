"""Placement: what the user asks of the hardware, and the report of what happened.

XNNPACK is the CPU. A device that an engine does not tell is `unknown`, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Device = Literal["cpu", "gpu", "npu", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What is asked of the hardware.

    Attributes:
        require: a device (`npu`) or delegate (`onnxruntime:qnn-htp`) that must be used, else `PlacementError`.
        prefer: devices or delegates in order of preference.
        allow: when given, nothing else may run any operation.
        min_coverage: least share of operations (0 to 1) that must run on the required or preferred device.
    """

    require: str | None = None
    prefer: tuple[str, ...] = ("npu", "gpu", "cpu")
    allow: tuple[str, ...] | None = None
    min_coverage: float = 0.0


@dataclass(frozen=True, kw_only=True)
class OperationPlacement:
    """Where one operation (or one fused partition of `count` operations) runs.

    `reason` says why an operation was left behind by the delegate in use; `kernel` is the engine's own word for the
    code that runs it (OpenVINO: `brgemm_avx512_I8`), empty where the engine does not tell.
    """

    name: str
    op_type: str
    device: Device
    delegate: str
    count: int = 1
    reason: str = ""
    kernel: str = ""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A delegate that was tried, and what came of it."""

    delegate: str
    outcome: Literal["used", "failed", "skipped"]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PlacementReport:
    """Where a loaded model runs.

    Attributes:
        engine: `litert`, `onnxruntime`, `openvino`.
        delegate: the delegate in use, such as `litert:xnnpack`.
        operations: per operation as the engine tells it.
        attempts: the delegates tried, in order.
    """

    engine: str
    delegate: str
    operations: tuple[OperationPlacement, ...]
    attempts: tuple[Attempt, ...] = field(default=())

    def shares(self) -> Mapping[Device, float]:
        """Return the share of operations on each device; the four shares sum to 1 (or are all 0 when empty)."""
        devices: tuple[Device, ...] = ("cpu", "gpu", "npu", "unknown")
        total = sum(operation.count for operation in self.operations)
        return {
            device: sum(operation.count for operation in self.operations if operation.device == device) / total
            if total
            else 0.0
            for device in devices
        }
