"""The fake engine: a text file says what the model looks like and how it misbehaves. For tests, shipped with the rest.

An artifact is a JSON file such as

    {"edgeai_fake": 1, "inputs": [{"name": "x", "shape": [null, 2], "dtype": "float32"}], "on_run": "segfault"}

Its one output `y` is its first input times `factor` (1 by default), with the same shape and dtype. `on_open` and
`on_run` may be `raise`, `refuse` (the options), `abort`, `segfault`, `exit` or `hang`. `left_behind` operations of
`operations` are placed on the CPU, the others on the delegate's device, so that the rules of placement can be tried
without hardware.

`faults` says how it misbehaves on one delegate only, unless an option cures it, and `slow_ms` how long a run takes
there: `{"faults": {"fake:npu": {"factor": 3, "cured_by": {"precision": "f32"}}}, "slow_ms": {"fake:gpu": 5}}`. With
`"threads_help": true` a run takes that time divided by the number of threads.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeai_runtime.engines.chunks import shape_error
from edgeai_runtime.engines.protocol import EngineInfo
from edgeai_runtime.errors import EngineError, ModelError, PlacementError, UsageError
from edgeai_runtime.manifest import Format, TensorSpec
from edgeai_runtime.placement import Device, OperationPlacement, PlacementReport

_DEVICES: dict[str, Device] = {"fake:cpu": "cpu", "fake:gpu": "gpu", "fake:npu": "npu"}


class FakeEngine:
    """The adapter; see `protocol.Engine` for what its members promise."""

    name = "fake"
    format: Format = "onnx"

    def info(self) -> EngineInfo:
        """Say that it is here: it always is."""
        return EngineInfo(present=True, package="edgeai-runtime", version="1", reason="", install="")

    def open(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> FakeSession:
        """Load the JSON file `path`; an option can cure a fault."""
        try:
            document = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"the fake engine cannot read {path}: {error}") from error
        if not isinstance(document, dict) or document.get("edgeai_fake") != 1:
            raise ModelError(f"{path} is not a fake model")
        if delegate not in _DEVICES or delegate in document.get("no_driver", ()):
            raise PlacementError(f"no driver for {delegate}")
        fault = dict(document.get("faults", {}).get(delegate, {}))
        cure = fault.pop("cured_by", None)
        if cure is None or any(options.get(name) != value for name, value in cure.items()):
            document.update(fault)
        slow_ms = float(document.get("slow_ms", {}).get(delegate, 0)) / (threads if document.get("threads_help") else 1)
        _misbehave(document.get("on_open", ""), path)
        return FakeSession(path, {**document, "slow_s": slow_ms / 1e3}, delegate)


class FakeSession:
    """One fake model; see `protocol.Session` for what its members promise."""

    def __init__(self, path: Path, document: Mapping[str, Any], delegate: str) -> None:
        self._path, self._document, self._delegate = path, document, delegate
        tensors = document.get("inputs", [{"name": "x", "shape": [None, 2], "dtype": "float32"}])
        self.inputs = tuple(
            TensorSpec(name=t["name"], shape=tuple(t["shape"]), dtype=t.get("dtype", "float32")) for t in tensors
        )
        first = self.inputs[0]
        self.outputs = (TensorSpec(name="y", shape=first.shape, dtype=first.dtype),)

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the first array times `factor`."""
        _misbehave(self._document.get("on_run", ""), self._path)
        if self._document["slow_s"]:
            time.sleep(self._document["slow_s"])
        if len(arrays) != len(self.inputs):
            raise shape_error(self.inputs, arrays)
        return [(arrays[0] * self._document.get("factor", 1)).astype(arrays[0].dtype)]

    def placement(self) -> PlacementReport:
        """Place `operations` (10) on the delegate's device, but `left_behind` (0) of them on the CPU."""
        count, left = int(self._document.get("operations", 10)), int(self._document.get("left_behind", 0))
        device = _DEVICES[self._delegate]
        taken = OperationPlacement(
            name="taken", op_type="Mul", device=device, delegate=self._delegate, count=count - left
        )
        rest = OperationPlacement(
            name="rest", op_type="Mul", device="cpu", delegate="fake:cpu", count=left, reason="operation not supported"
        )
        return PlacementReport(engine="fake", delegate=self._delegate, operations=(taken, rest) if left else (taken,))

    def replicas(self, count: int, threads: int) -> list[FakeSession]:
        """Return sessions for `count` threads at once."""
        return [self] * count

    def close(self) -> None:
        """Do nothing."""


def _misbehave(how: str, path: Path) -> None:
    if how == "raise":
        raise EngineError(f"the fake engine failed on {path.name}, as it was told to")
    if how == "refuse":
        raise UsageError("the fake engine takes no such option")
    if how == "abort":
        os.abort()
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(3)
    if how == "hang":
        time.sleep(3600)


def write_fake_model(path: Path, **document: Any) -> Path:
    """Write a fake artifact with the given keys to `path` and return the path."""
    path.write_text(json.dumps({"edgeai_fake": 1, **document}))
    return path
