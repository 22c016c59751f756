"""Google's Edge TPU through `edgetpu_compiler`: an int8 TFLite file becomes one with an operator for the Edge TPU.

The compiler is a program for Linux on x86-64 from Google's own package archive; it is not on PyPI. What it says of
operators and memory is read from its log. A model of which it maps nothing is refused.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from edgeai_devices.compilers.protocol import Compiled, CompileReport, LeftOnCpu, accelerator_for
from edgeai_devices.compilers.tool_run import run_tool
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EngineError, MissingEngineError, ModelError

COMMAND = "edgetpu_compiler"
_MAPPED = "Mapped to Edge TPU"
_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*)$", re.MULTILINE)
_ON_CHIP = re.compile(r"On-chip memory used for caching model parameters:\s*([\d.]+)\s*([KMG]?i?B)")
_VERSION = re.compile(r"version\s+(\S+)")


def version() -> str:
    """Return the version of the compiler.

    Raises:
        MissingEngineError: it is not installed.
    """
    done = subprocess.run([_find(), "--version"], capture_output=True, text=True, timeout=60, check=False)
    found = _VERSION.search(done.stdout)
    return found[1] if found else done.stdout.strip()


def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
    """Compile a TFLite file; see the protocol.

    Raises:
        UsageError: the device has no Edge TPU.
        MissingEngineError: the compiler is not installed.
        ModelError: it refuses the model, or maps nothing of it.
    """
    accelerator = accelerator_for(profile, "edgetpu")
    command = _find()
    found = version()
    said = run_tool(
        [command, "--show_operations", f"--out_dir={folder}", str(path.absolute())],
        title="The Edge TPU compiler",
        path=path,
        hint="It takes int8 models with fixed shapes: edgeai compress MODEL --data DATA --precision int8",
    )
    made = sorted(folder.glob("*_edgetpu.tflite"))
    if len(made) != 1:
        raise EngineError(f"The Edge TPU compiler wrote {len(made)} files *_edgetpu.tflite; one was expected.")
    report = read_report(said, version=found, target=accelerator.model)
    for log in folder.glob("*.log"):
        log.unlink()
    if not report.operators_on_accelerator:
        reasons = ", ".join(each.operator for each in report.left_on_cpu)
        raise ModelError(
            f"The Edge TPU compiler maps no operator of {path}; the processor would run all: {reasons}",
            hint="It takes int8 models with fixed shapes: edgeai compress MODEL --data DATA --precision int8",
        )
    left = "; ".join(f"{each.operator}: {each.outputs[0]}" for each in report.left_on_cpu)
    return Compiled(files=(made[0],), report=report, notes=(f"Left to the processor: {left}.",) if left else ())


def read_report(said: str, *, version: str, target: str) -> CompileReport:
    """Read the compiler's log: a table of operator, count and status, and the memory for parameters.

    It does not name outputs: `LeftOnCpu.outputs` holds its reason, once per operator that is left.

    Raises:
        EngineError: there is no such table in it.
    """
    rows = [(name, int(count), status.strip()) for name, count, status in _ROW.findall(said)]
    if not rows:
        raise EngineError("The log of the Edge TPU compiler has no table of operators.")
    left = [(name, count, status) for name, count, status in rows if status != _MAPPED]
    on_chip = _ON_CHIP.search(said)
    return CompileReport(
        compiler="edgetpu",
        tool=COMMAND,
        version=version,
        target=target,
        operators_on_accelerator=sum(count for _, count, status in rows if status == _MAPPED),
        operators_on_cpu=sum(count for _, count, _ in left),
        left_on_cpu=tuple(LeftOnCpu(operator=name, outputs=(status,) * count) for name, count, status in left),
        sram_bytes=round(float(on_chip[1]) * _UNITS[on_chip[2]]) if on_chip else None,
    )


def _find() -> str:
    found = shutil.which(COMMAND)
    if found is None:
        raise MissingEngineError(
            f"Google's compiler for the Edge TPU ({COMMAND}) is not installed.",
            hint="Install it on Linux on x86-64: https://coral.ai/docs/edgetpu/compiler",
        )
    return found
