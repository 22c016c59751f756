"""What Arm's compiler for Ethos-U needs of a device's flash for a model: it packs the weights of int8 models.

Vela runs in a child process, where `ethos-u-vela` is installed; where it is not, there is no figure, and nothing is
estimated in its place. The figure is that of its memory planner for the compiled file, not one measured on a device.
"""

from __future__ import annotations

import csv
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgeai_converters.emit.table import emit
from edgeai_converters.graph.shapes import fix_batch
from edgeai_converters.prune.clustering import cluster_weights
from edgeai_converters.prune.layer_artifacts import in_precision
from edgeai_runtime.errors import EngineError

ACCELERATOR = "ethos-u55-128"
_FLASH = "off_chip_flash_memory_used"
_KIB = 1024
_TIMEOUT_S = 600
_LOG_LINES = 8


@dataclass(frozen=True, kw_only=True)
class FlashGain:
    """Flash that compiled int8 models need.

    Attributes:
        accelerator: what they were compiled for.
        whole_bytes, smaller_bytes: total off-chip flash of the whole network and of the smaller one.
    """

    accelerator: str
    whole_bytes: int
    smaller_bytes: int


def find_vela() -> list[str] | None:
    """Return the command that runs Vela; `None` where it is not installed."""
    if importlib.util.find_spec("ethosu") is not None:
        return [sys.executable, "-m", "ethosu.vela"]
    found = shutil.which("vela")
    return [found] if found else None


def flash_gain(whole: ir.Model, smaller: ir.Model, *, clusters: int | None = None) -> FlashGain | None:
    """Return the flash of two float graphs, quantized to int8; `None` where Vela is not installed.

    Args:
        whole: a graph.
        smaller: the same one with other weights.
        clusters: of the int8 weights of `smaller`, because those of float weights do not survive quantization.

    Raises:
        UnsupportedOperationError: TFLite can not hold the graph.
        EngineError: Vela failed; the end of its log is in the message.
    """
    command = find_vela()
    if command is None:
        return None
    quantized = in_precision(fix_batch(smaller, 1), "tflite", "int8", integers=True)
    if clusters is not None:
        quantized, _ = cluster_weights(quantized, clusters=clusters)
    return FlashGain(
        accelerator=ACCELERATOR,
        whole_bytes=_flash(in_precision(fix_batch(whole, 1), "tflite", "int8", integers=True), command),
        smaller_bytes=_flash(quantized, command),
    )


def _flash(model: ir.Model, command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="edgeai-vela-") as made:
        folder = Path(made)
        path = emit(model, "tflite", folder).path
        given = [*command, str(path), "--accelerator-config", ACCELERATOR, "--output-dir", str(folder / "out")]
        try:
            done = subprocess.run(
                given, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"Vela was stopped after {_TIMEOUT_S} s.") from error
        summaries = sorted((folder / "out").glob("*_summary_*.csv"))
        if done.returncode or not summaries:
            tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LOG_LINES:])
            raise EngineError(f"Vela failed (exit code {done.returncode}).\n{tail}")
        return read_flash(summaries[0])


def read_flash(summary: Path) -> int:
    """Return the total off-chip flash in bytes that a summary of Vela tells.

    Raises:
        EngineError: the summary has no such column.
    """
    with summary.open(newline="") as stream:
        row = next(csv.DictReader(stream), None)
    if row is None or not row.get(_FLASH):
        raise EngineError(f"The summary that Vela wrote has no {_FLASH}.")
    return round(float(row[_FLASH]) * _KIB)
