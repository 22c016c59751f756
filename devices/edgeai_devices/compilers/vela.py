"""Arm Ethos-U through Vela: an int8 or int16x8 TFLite file becomes one whose operators run on the NPU.

Vela runs in a child process (it crashes on damaged files). What it tells is read from the two tables that it writes: a
summary (memory, cycles) and a line per operator (which of them the NPU runs). A model of which it puts nothing on the
NPU is refused: it would run on the processor alone, under another name.

Not here: running the result, which only an Ethos-U can, or Arm's FVP.
"""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import math
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgeai_devices.compilers.protocol import Compiled, CompileReport, LeftOnCpu, accelerator_for
from edgeai_devices.compilers.tool_run import run_tool
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EngineError, MissingEngineError, ModelError

PACKAGE = "ethos-u-vela"
_KIB = 1024
_MOST_NAMES = 5
_NOT_THERE = f"Vela, Arm's compiler for Ethos-U ({PACKAGE}), is not installed."


def find_command() -> list[str]:
    """Return the command that runs Vela.

    Raises:
        MissingEngineError: it is not installed.
    """
    if importlib.util.find_spec("ethosu") is not None:
        return [sys.executable, "-m", "ethosu.vela"]
    found = shutil.which("vela")
    if found is None:
        raise MissingEngineError(_NOT_THERE, hint='pip install "edgeai[vela]"')
    return [found]


def version() -> str:
    """Return Vela's version.

    Raises:
        MissingEngineError: it is not installed.
    """
    command = find_command()
    if command[0] == sys.executable:
        return importlib.metadata.version(PACKAGE)
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip()


def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
    """Compile a TFLite file; see the protocol.

    Raises:
        UsageError: the device has no Ethos-U.
        MissingEngineError: Vela is not installed.
        ModelError: Vela refuses the model, crashes on it, or leaves all of it to the processor.
        EngineError: Vela wrote a table that is not understood.
    """
    target = accelerator_for(profile, "vela").vela
    assert target is not None, "a profile that names vela has its table; checked when it was read"
    command = find_command()
    options = {
        "accelerator-config": target.accelerator_config,
        "system-config": target.system_config,
        "memory-mode": target.memory_mode,
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    run_tool(
        [*command, str(path.absolute()), *given, "--verbose-performance", f"--output-dir={folder}"],
        title="Vela",
        path=path,
        quiet=("Warning: No ",),
        hint="`edgeai check MODEL --device ID` shows what the NPU accepts, and what would help.",
    )
    made, summary, layers = (
        _only(folder, pattern) for pattern in ("*_vela.tflite", "*_summary_*.csv", "*_per-layer.csv")
    )
    report = read_report(summary, layers, version=version(), options=options)
    if not report.operators_on_accelerator:
        left = ", ".join(f"{each.operator} ({len(each.outputs)})" for each in report.left_on_cpu[:_MOST_NAMES])
        raise ModelError(
            f"Vela puts no operator of {path} on the NPU; the processor would run all of them: {left}",
            hint="Ethos-U computes in integers: edgeai compress MODEL --data DATA --precision int8",
        )
    summary.unlink()
    layers.unlink()
    return Compiled(files=(made,), report=report, notes=tuple(_notes(report)))


def read_report(summary: Path, layers: Path, *, version: str, options: Mapping[str, str]) -> CompileReport:
    """Read what Vela tells: memory in KiB and seconds become bytes and milliseconds.

    Raises:
        EngineError: a column is missing.
    """
    rows = _rows(summary)
    if not rows:
        raise EngineError(f"The summary that Vela wrote, {summary.name}, is empty.")
    row = rows[0]
    on_npu, left = 0, dict[str, list[str]]()
    for layer in _rows(layers):
        if _cell(layer, "Target", layers) == "NPU":
            on_npu += 1
        else:
            left.setdefault(_cell(layer, "Original Operator", layers), []).append(_cell(layer, "Name", layers))
    flash = _bytes(row, "off_chip_flash_memory_used", summary) + _bytes(row, "on_chip_flash_memory_used", summary)
    seconds = float(_cell(row, "inference_time", summary) or "nan")
    return CompileReport(
        compiler="vela",
        tool=PACKAGE,
        version=version,
        target=options["accelerator-config"],
        options=dict(options),
        operators_on_accelerator=on_npu,
        operators_on_cpu=sum(map(len, left.values())),
        left_on_cpu=tuple(LeftOnCpu(operator=name, outputs=tuple(outputs)) for name, outputs in left.items()),
        sram_bytes=_bytes(row, "sram_memory_used", summary),
        dram_bytes=_bytes(row, "dram_memory_used", summary),
        flash_bytes=flash,
        cycles=round(float(_cell(row, "cycles_total", summary))),
        estimated_ms=None if math.isnan(seconds) else seconds * 1000,
    )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise EngineError(f"Vela wrote {len(found)} files {pattern}; one was expected.", hint=f"pip install {PACKAGE}")
    return found[0]


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _cell(row: Mapping[str, str], column: str, table: Path) -> str:
    if row.get(column) is None:
        raise EngineError(f"The table that Vela wrote, {table.name}, has no column {column}.")
    return row[column]


def _bytes(row: Mapping[str, str], column: str, table: Path) -> int:
    return round(float(_cell(row, column, table) or 0) * _KIB)


def _notes(report: CompileReport) -> Iterable[str]:
    system = f"{report.options['system-config']} with {report.options['memory-mode']}"
    yield f"Memory, cycles and time are what Vela estimates for {system}; a board may differ."
    if report.left_on_cpu:
        names = ", ".join(f"{each.operator} ({len(each.outputs)})" for each in report.left_on_cpu)
        yield f"The processor runs {report.operators_on_cpu} operators: {names}."
