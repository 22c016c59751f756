"""OpenVINO: runs OpenVINO IR (`.xml` + `.bin`) on the CPU, GPU, NPU, or on what AUTO and HETERO choose.

The inference precision is pinned to float32 unless an option says otherwise: OpenVINO computes in bf16, unasked, on
processors that have it, and in f16 on GPUs. An NPU has no float32 and is not pinned.
Variables (ReadValue, Assign) are reset before every call, except in a session of a stream.
When only the batch is free, the model is compiled for a batch of one first and again for another batch when one comes
(a few are kept): static shapes are faster and their memory is flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.delegates.options import check_options
from edgeai_runtime.engines.artifact_file import check_artifact_file
from edgeai_runtime.engines.openvino_library import DEVICES, INSTALL, import_openvino
from edgeai_runtime.engines.openvino_session import OpenVINOSession
from edgeai_runtime.errors import MissingEngineError, PlacementError
from edgeai_runtime.manifest import Format

if TYPE_CHECKING:
    from edgeai_runtime.engines.protocol import EngineInfo


class OpenVINOEngine:
    """The adapter; see `protocol.Engine` for what its members promise."""

    name = "openvino"
    format: Format = "openvino"

    def info(self) -> EngineInfo:
        """Say whether OpenVINO is installed and imports."""
        from edgeai_runtime.engines.protocol import EngineInfo

        try:
            version = str(import_openvino().__version__).partition("-")[0]
        except MissingEngineError as error:
            return EngineInfo(present=False, package="openvino", version="", reason=error.message, install=INSTALL)
        return EngineInfo(present=True, package="openvino", version=version, reason="", install=INSTALL)

    def open(self, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> OpenVINOSession:
        """Load `path`; `options` are those of the delegate in the table. Errors: see `protocol.Engine.open`."""
        return self.open_compiled(path, {}, None, delegate=delegate, threads=threads, options=options)

    def open_compiled(
        self, path: Path, info: Mapping[str, Any], blob: Any, *, delegate: str, threads: int, options: Mapping[str, str]
    ) -> OpenVINOSession:
        """Load `path` with what `OpenVINOSession.export` gave; without a blob, as `open`."""
        if delegate not in DEVICES:
            raise PlacementError(f"OpenVINO has no delegate {delegate!r} here", hint=f"delegates: {', '.join(DEVICES)}")
        options = check_options(delegate, options)
        check_artifact_file(path, "openvino")
        if delegate == "openvino:npu" and hasattr(path, "contents"):  # its driver would keep what it compiles
            options = {"NPU_BYPASS_UMD_CACHING": "YES", **options}
        return OpenVINOSession(
            path, delegate=delegate, threads=threads, options=options, compiled=None if blob is None else (info, blob)
        )
