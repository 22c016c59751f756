"""OpenVINO's library: imported when it is wanted, one `Core` for the process, and its words for devices and tensors."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.table import known_delegate
from edgeai_runtime.errors import MissingEngineError, ModelError
from edgeai_runtime.manifest import TensorSpec

INSTALL = 'pip install "edgeai-runtime[openvino]"'
CPU = "openvino:cpu"
#: `dimension.x.2` is an option of ours, not a property: the size of axis 2 of input x, where it is free.
DIMENSION = "dimension."
DEVICES = {f"openvino:{name}": name.upper() for name in ("cpu", "gpu", "npu", "auto", "hetero")}


def import_openvino() -> Any:
    """Return the module `openvino`, its telemetry off.

    Raises:
        MissingEngineError: it cannot be imported.
    """
    os.environ.setdefault("OPENVINO_TELEMETRY_DISABLE", "1")
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise MissingEngineError(f"OpenVINO cannot be imported: {error}", hint=INSTALL) from error


@functools.lru_cache(maxsize=1)
def core() -> Any:
    """Return the one `Core` of this process."""
    return import_openvino().Core()


def read_model(path: Path) -> Any:
    """Return the model in `path`, not compiled.

    Raises:
        ModelError: OpenVINO cannot read it.
    """
    failure: Exception | None = None
    with capture_log() as log:
        try:
            model = core().read_model(*getattr(path, "contents", (str(path),)))
        except RuntimeError as error:
            failure = error
    if failure is not None:
        raise ModelError(
            f"OpenVINO cannot read {path}: {short(failure)}{log.tail()}",
            hint="the file is damaged, its .bin belongs to another .xml, or it was written by a newer OpenVINO",
        ) from failure
    return model


def device_name(delegate: str, properties: Mapping[str, str]) -> str:
    """Return OpenVINO's word for the device of a delegate; HETERO alone does not know what to choose from."""
    name = DEVICES[delegate]
    if name != "HETERO" or "MULTI_DEVICE_PRIORITIES" in properties:
        return name
    found = {device.partition(".")[0] for device in core().available_devices}
    return ":".join([name, ",".join(one for one in ("NPU", "GPU", "CPU") if one in found)])


def make_properties(delegate: str, threads: int, options: Mapping[str, str]) -> dict[str, str]:
    """Return the properties for a delegate: of ours those it has, overridden by `options`."""
    ours = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",  # else each call would bind the app's own thread to the first core, model by model
    }
    if delegate != CPU:
        known = known_delegate(delegate).options
        ours = {name: value for name, value in {**ours, "ENABLE_STARTUP_FALLBACK": "NO"}.items() if name in known}
    return {**ours, **{name: value for name, value in options.items() if not name.startswith(DIMENSION)}}


def direct_infer(request: Any) -> Callable[[], object]:
    """Return what runs a request whose memory is filled: the bound C++ method, without the Python layers around it."""
    try:
        infer = super(type(request), request).infer
        return functools.partial(infer, {}, share_outputs=True, decode_strings=False)
    except AttributeError:
        return functools.partial(request.infer, None, share_outputs=True)


def tensor_spec(port: Any, fallback: str) -> TensorSpec:
    """Return the name, shape and dtype of a port; `fallback` is the name of one without."""
    shape = port.get_partial_shape()
    names = port.get_names()
    return TensorSpec(
        name=str(port.get_any_name()) if names else fallback,
        shape=tuple(None if dimension.is_dynamic else int(dimension.get_length()) for dimension in shape),
        dtype=np.dtype(port.get_element_type().to_dtype()).name,
    )


def short(error: Exception) -> str:
    """Return what an error of OpenVINO says, in one line of bearable length."""
    return " ".join(str(error).split())[:600]
