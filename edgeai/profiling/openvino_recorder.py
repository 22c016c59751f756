"""OpenVINO's performance counters: a model compiled with `PERF_COUNT`.

The CPU gives the mean of every call since the model was compiled, in whole microseconds; the first calls are taken out
of it by reading twice. Other devices give the last call. Neither tells when an operation began.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgeai.profiling.recorder import MOST_CALLS, Operation, mean_over_calls
from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.openvino_library import (
    CPU,
    core,
    device_name,
    direct_infer,
    import_openvino,
    make_properties,
    read_model,
    short,
)
from edgeai_runtime.engines.protocol import Session
from edgeai_runtime.errors import EngineError

_EXECUTED = "EXECUTED"


class OpenVINORecorder:
    """See `recorder.Recorder` for what its members promise."""

    method: Literal["engine"] = "engine"
    most_calls = MOST_CALLS

    def __init__(
        self,
        path: Path,
        session: Session,
        arrays: Sequence[Any],
        *,
        delegate: str,
        threads: int,
        options: Mapping[str, str],
    ) -> None:
        self._only_means = delegate == CPU
        of = "means of all calls" if self._only_means else "of each call"
        self.note = f"OpenVINO's counters are whole microseconds, {of}: up to one per operation is cut off."
        properties = {**make_properties(delegate, threads, options), "PERF_COUNT": "YES"}
        model = read_model(path)
        fixed = all(None not in spec.shape[1:] for spec in session.inputs)  # then the runtime fixes the batch as well
        try:
            with capture_log():
                if fixed:
                    shapes = [import_openvino().PartialShape(list(array.shape)) for array in arrays]
                    model.reshape(dict(zip(model.inputs, shapes, strict=True)))
                compiled = core().compile_model(model, device_name(delegate, properties), properties)
                self._request: Any = compiled.create_infer_request()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot profile {path.name}: {short(error)}") from error
        self._resets = bool(self._request.query_state())
        self._infer: Any = direct_infer(self._request)
        if fixed:
            for index, array in enumerate(arrays):
                self._request.get_input_tensor(index).data[...] = array
        else:
            self._infer = functools.partial(self._request.infer, list(arrays), share_outputs=True)
        self._calls = self._before = 0
        self._first: dict[str, Operation] = {}
        self._kept: list[list[Operation]] = []

    def begin(self) -> None:
        """Remember the counters, to take the calls so far out of the means."""
        self._before = self._calls
        self._first = {one.name: one for one in self._read()} if self._only_means else {}

    def call(self) -> None:
        """Run once."""
        self._calls += 1
        if self._resets:
            self._request.reset_state()
        self._infer()

    def keep(self) -> None:
        """Read the counters, where they are of the last call."""
        if not self._only_means:
            self._kept.append(self._read())

    def finish(self, kept: Sequence[int]) -> list[Operation]:
        """Return the means; on the CPU over all calls since `begin`, whatever `kept` says."""
        if not self._only_means:
            return mean_over_calls(self._kept[number] for number in kept)
        return without_first_calls(self._read(), self._first, self._calls, self._before)

    def close(self) -> None:
        """Drop the compiled model."""
        self._request = self._infer = None

    def _read(self) -> list[Operation]:
        found: list[Operation] = []
        names: dict[str, int] = {}
        for entry in self._request.profiling_info:
            if entry.status.name != _EXECUTED:
                continue
            number = names.get(entry.node_name, 0)
            names[entry.node_name] = number + 1
            found.append(
                Operation(
                    name=f"{entry.node_name}#{number + 1}" if number else str(entry.node_name),
                    op=str(entry.node_type),
                    ms=entry.real_time.total_seconds() * 1e3,
                    kernel=str(entry.exec_type),
                )
            )
        return found


def without_first_calls(
    means: Sequence[Operation], first: Mapping[str, Operation], calls: int, before: int
) -> list[Operation]:
    """Return means over the calls after the first `before` of `calls`, from means over all and over the first."""
    counted = max(calls - before, 1)
    operations = []
    for one in means:
        early = first[one.name].ms * before if one.name in first else 0.0
        operations.append(
            Operation(name=one.name, op=one.op, ms=max(one.ms * calls - early, 0.0) / counted, kernel=one.kernel)
        )
    return operations
