"""Placement: what the user asks of the hardware, and the report of what happened.

XNNPACK is the CPU. A device that an engine does not tell is `unknown`, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edgeai_runtime.record import dataclass, field

Device = Literal["cpu", "gpu", "npu", "unknown"]
FASTEST = "fastest"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What is asked of the hardware.

    Attributes:
        require: a device (`npu`) or delegate (`onnxruntime:qnn-htp`) that must be used, else `PlacementError`.
        prefer: devices or delegates in order of preference; `("fastest",)` lets a measurement on this machine decide.
            Anything but the default also brings in delegates that the bundle does not name, if they are here.
        allow: when given, nothing else may run any operation.
        min_coverage: least share of operations (0 to 1) that must run on the required or preferred device.
        min_mac_coverage: the same for multiply-accumulates, where the bundle records them (`Variant.macs`).
        options: per delegate, options for its engine: `{"openvino:cpu": {"INFERENCE_PRECISION_HINT": "bf16"}}`.
    """

    require: str | None = None
    prefer: tuple[str, ...] = ("npu", "gpu", "cpu")
    allow: tuple[str, ...] | None = None
    min_coverage: float = 0.0
    min_mac_coverage: float = 0.0
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def needs_report(self) -> bool:
        """Say whether something is asked of where operations run, so that a plain load does not look at it."""
        return bool(self.require or self.min_coverage or self.min_mac_coverage or self.allow is not None)


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
    """A delegate that was tried, and what came of it.

    Attributes:
        outcome: `failed`: it did not load, or gave wrong numbers; `skipped`: it was not even tried.
        reason: why it was not used; for the one in use, what its self-check found.
        remedy: the change of options it was tried with (`delegates/remedies.py`); empty: as asked.
        variant: of which variant; empty for a bare artifact.
    """

    delegate: str
    outcome: Literal["used", "failed", "skipped"]
    reason: str = ""
    remedy: str = ""
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What `placement="fastest"` or `threads="auto"` measured of one candidate on this machine.

    `how` is `compared` (interleaved with the best ones, so comparable), `looked at` (a few calls: clearly slower), or
    why there is no time.
    """

    delegate: str
    threads: int
    variant: str = ""
    median_ms: float | None = None
    how: str = ""


@dataclass(frozen=True, kw_only=True)
class PlacementReport:
    """Where a loaded model runs.

    Attributes:
        engine: `litert`, `onnxruntime`, `openvino`.
        delegate: the delegate in use, such as `litert:xnnpack`.
        operations: per operation as the engine tells it.
        attempts: the delegates tried, in order.
        measured: what was timed to choose, fastest first; empty when nothing had to be.
        macs: multiply-accumulates by name of operation, as the bundle records them.
    """

    engine: str
    delegate: str
    operations: tuple[OperationPlacement, ...]
    attempts: tuple[Attempt, ...] = ()
    measured: tuple[Timing, ...] = ()
    macs: Mapping[str, int] = field(default_factory=dict)

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

    def mac_shares(self) -> Mapping[Device, float] | None:
        """Return the share of multiply-accumulates on each device, or `None` where it cannot be told.

        It can when everything runs on one device, or when the bundle records them for names that the engine reports
        (engines rename what they fuse): an operation that is not found makes the whole unknown, never a guess.
        """
        shares = self.shares()
        if 1.0 in shares.values():
            return shares
        devices = {operation.name: operation.device for operation in self.operations}
        total = sum(self.macs.values())
        if not total or not all(name in devices for name, macs in self.macs.items() if macs):
            return None
        return {
            device: sum(macs for name, macs in self.macs.items() if devices.get(name) == device) / total
            for device in shares
        }
