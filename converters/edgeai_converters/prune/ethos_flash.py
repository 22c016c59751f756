"""What Arm's compiler for Ethos-U needs of a device's flash for a model: it packs the weights of int8 models.

Where `ethos-u-vela` is not installed there is no figure, and nothing is estimated in its place. The figure is that of
its memory planner for the compiled file, not one measured on a device.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgeai_converters.emit.table import emit
from edgeai_converters.graph.shapes import fix_batch
from edgeai_converters.prune.clustering import cluster_weights
from edgeai_converters.prune.layer_artifacts import in_precision
from edgeai_devices.catalog import find_profile
from edgeai_devices.compilers.vela import compile_model, find_command
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import MissingEngineError

DEVICE = "ethos-u55-128"
"""The profile that models are compiled for where no device is named."""


@dataclass(frozen=True, kw_only=True)
class FlashGain:
    """Flash that compiled int8 models need.

    Attributes:
        accelerator: id of the profile that they were compiled for.
        whole_bytes, smaller_bytes: total flash of the whole network and of the smaller one.
    """

    accelerator: str
    whole_bytes: int
    smaller_bytes: int


def has_vela() -> bool:
    """Say whether Vela is installed."""
    try:
        find_command()
    except MissingEngineError:
        return False
    return True


def flash_gain(whole: ir.Model, smaller: ir.Model, *, clusters: int | None = None) -> FlashGain | None:
    """Return the flash of two float graphs, quantized to int8; `None` where Vela is not installed.

    Args:
        whole: a graph.
        smaller: the same one with other weights.
        clusters: of the int8 weights of `smaller`, because those of float weights do not survive quantization.

    Raises:
        UnsupportedOperationError: TFLite cannot hold the graph.
        ModelError, EngineError: Vela failed; the end of its log is in the message.
    """
    if not has_vela():
        return None
    profile = find_profile(DEVICE)
    quantized = in_precision(fix_batch(smaller, 1), "tflite", "int8", integers=True)
    if clusters is not None:
        quantized, _ = cluster_weights(quantized, clusters=clusters)
    return FlashGain(
        accelerator=DEVICE,
        whole_bytes=_flash(in_precision(fix_batch(whole, 1), "tflite", "int8", integers=True), profile),
        smaller_bytes=_flash(quantized, profile),
    )


def _flash(model: ir.Model, profile: Profile) -> int:
    with tempfile.TemporaryDirectory(prefix="edgeai-vela-") as made:
        compiled = Path(made) / "compiled"
        compiled.mkdir()
        path = emit(model, "tflite", Path(made)).path
        found = compile_model(path, profile=profile, folder=compiled).report.flash_bytes
        assert found is not None, "Vela reports the flash of everything that it compiles"
        return found
