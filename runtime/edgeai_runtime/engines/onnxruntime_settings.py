"""What an ONNX Runtime session is told before it loads: threads, configuration, sizes of free dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai_runtime.errors import PlacementError, UsageError

CPU = "CPUExecutionProvider"
_ONLY_ERRORS = 3
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
_LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
#: Options with which a session writes files for its caller.
OWN_FILES = ("session.optimized_model_filepath", "ep.context_enable", "ep.context_file_path")
#: Options that are attributes of the settings: as entries of the configuration they would be accepted and do nothing.
_SWITCHES = ("use_deterministic_compute", "enable_mem_pattern", "enable_cpu_mem_arena")


def make_settings(ort: Any, threads: int, options: Mapping[str, str]) -> Any:
    """Return `SessionOptions` for `threads` threads, with those of `options` that are the session's.

    Raises:
        UsageError: an option's value makes no sense.
    """
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _ONLY_ERRORS
    # With one thread spinning changes nothing (measured); with two it makes small networks 1.3 to 1.6 times faster.
    entries = {_RECORD_PLACEMENT: "1", **({"session.intra_op.allow_spinning": "0"} if threads == 1 else {})}
    for key, value in {**entries, **options}.items():
        name = key.partition(".")[2]
        if name in _SWITCHES:
            setattr(settings, name, _one_of(key, value, ("0", "1")) == "1")
        elif name == "graph_optimization_level":
            level = _LEVELS[_one_of(key, value, tuple(_LEVELS))]
            settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        elif name == "optimized_model_filepath":
            settings.optimized_model_filepath = value
        elif key in entries or _is_entry(key):
            settings.add_session_config_entry(key, value)
    return settings


def _is_entry(key: str) -> bool:
    from edgeai_runtime.delegates.option_names import CONTEXT, SESSION

    return key in SESSION or key in CONTEXT


def write_compiled(settings: Any, path: Path, *, on_cpu: bool) -> None:
    """Tell the session to write what it makes of the model to `path`: one file, no others beside it."""
    if on_cpu:
        settings.optimized_model_filepath = str(path)
        return
    for key, value in (("enable", "1"), ("embed_mode", "1"), ("file_path", str(path))):
        settings.add_session_config_entry(f"ep.context_{key}", value)


def model_source(path: Path) -> Any:
    """Return what a session is made of: the path, or the bytes that it stands for."""
    return getattr(path, "contents", (str(path),))[0]


def fixed_dimensions(ort: Any, path: Path, delegate: str, options: Mapping[str, str]) -> dict[str, int]:
    """Return a size for every free dimension of the model's inputs: one for a batch, else what `options` says.

    They say it by the dimension's name (`dimension.rows`) or by its place (`dimension.x.2`: axis 2 of input `x`).

    Raises:
        PlacementError: a free dimension has no size: no name, or no such option.
        UsageError: an option is no size.
    """
    given = {key[10:]: _size(key, value) for key, value in options.items() if key.startswith("dimension.")}
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = _ONLY_ERRORS + 1  # what is wrong with the file is said when it is really loaded
    settings.intra_op_num_threads = 1
    sizes = dict(given)
    try:
        glance = ort.InferenceSession(model_source(path), settings, providers=[CPU])
    except Exception:  # a compiled model is not for the CPU; of any other, the real load says what is wrong
        return sizes
    for value in glance.get_inputs():
        for axis, dimension in enumerate(value.shape):
            if isinstance(dimension, int) or dimension in sizes:
                continue
            size = given.get(f"{value.name}.{axis}", None if axis else 1)
            if isinstance(dimension, str) and size is not None:
                sizes[dimension] = size
                continue
            hint = "convert the model with fixed input shapes"
            if isinstance(dimension, str):
                hint = f"give the option dimension.{dimension} a size, or {hint}"
            raise PlacementError(
                f"{delegate} needs fixed shapes, and axis {axis} of input {value.name!r} is free "
                f"({dimension or 'without a name'}). Received: {list(value.shape)}",
                hint=hint,
            )
    return sizes


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise UsageError(f"the option {key} is one of {', '.join(allowed)}. Received: {value!r}")
    return value


def _size(key: str, value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise UsageError(f"the option {key} is a size, 1 or more. Received: {value!r}")
    return int(value)
