"""An accelerator of a device, an NPU or a GPU, and what a compiler needs to know to build for it. No peak TOPS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgeai_devices.profile_document import Table
from edgeai_devices.profile_rules import COMPILERS, Compiler
from edgeai_runtime.delegates.table import DELEGATES
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import PRECISIONS, Precision

VelaAccelerator = Literal[
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
]
VELA_ACCELERATORS: tuple[VelaAccelerator, ...] = get_args(VelaAccelerator)


@dataclass(frozen=True, kw_only=True)
class VelaTarget:
    """Options for Vela: names of its `--accelerator-config`, `--system-config` and `--memory-mode`.

    `system_config` and `memory_mode` name sections of the `vela.ini` that comes with Vela: a typical system, to be
    replaced by the board's own where its memory is known.
    """

    accelerator_config: VelaAccelerator
    system_config: str
    memory_mode: str


@dataclass(frozen=True, kw_only=True)
class QnnTarget:
    """Options for Qualcomm's compiler: the architecture of the Hexagon NPU and Qualcomm's number of the chip."""

    htp_arch: int
    soc_model: int | None = None


@dataclass(frozen=True, kw_only=True)
class PlatformTarget:
    """Options for a compiler for several chips of one maker: its name of the chip, such as `rk3588` or `4000`."""

    platform: str


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """An NPU or a GPU.

    Attributes:
        model: its name.
        delegates: the runtime's delegates that reach it, best first; among those of the profile.
        compilers: compilers that make an artifact for it, best first.
        precisions: what it computes in, best first; empty where no public source says.
        static_shapes: every dimension of a model must be fixed.
        sram_kib: memory on the chip that is its own.
        vela, qnn, openvino, rknn: options for that compiler.
    """

    model: str
    delegates: tuple[str, ...] = ()
    compilers: tuple[Compiler, ...] = ()
    precisions: tuple[Precision, ...] = ()
    static_shapes: bool = False
    sram_kib: int | None = None
    vela: VelaTarget | None = None
    qnn: QnnTarget | None = None
    openvino: PlatformTarget | None = None
    rknn: PlatformTarget | None = None


#: Keys that are no figures: they say what edgeai and its compilers do with the accelerator.
_NOT_SOURCED = {"delegates", "compilers"}


def parse_accelerator(table: Table) -> Accelerator | None:
    """Read `[npu]` or `[gpu]`; an empty table is no accelerator."""
    if not table.content:
        return None
    table.check_keys(Accelerator, required=("model",))
    compilers = table.choices("compilers", COMPILERS)
    vela = _vela(table.table("vela")) if "vela" in table else None
    qnn = _qnn(table.table("qnn")) if "qnn" in table else None
    openvino, rknn = (_platform(table.table(key)) if key in table else None for key in ("openvino", "rknn"))
    for name, target in (("vela", vela), ("qnn", qnn), ("openvino", openvino), ("rknn", rknn)):
        if (target is None) == (name in compilers):
            raise UsageError(f"{table.where}: the compiler {name} and the table {name!r} go together; one is missing.")
    return Accelerator(
        model=table.text("model"),
        delegates=table.choices("delegates", tuple(DELEGATES)),
        compilers=compilers,
        precisions=table.choices("precisions", PRECISIONS),
        static_shapes=table.flag("static_shapes"),
        sram_kib=table.whole("sram_kib"),
        vela=vela,
        qnn=qnn,
        openvino=openvino,
        rknn=rknn,
    )


def figures_of(table: Table, name: str) -> set[str]:
    """Return the keys of an accelerator that need a source, as `npu.model`."""
    return {f"{name}.{key}" for key in table.content if key not in _NOT_SOURCED}


def _vela(table: Table) -> VelaTarget:
    table.check_keys(VelaTarget, required=("accelerator_config", "system_config", "memory_mode"))
    return VelaTarget(
        accelerator_config=table.choice("accelerator_config", VELA_ACCELERATORS),
        system_config=table.text("system_config"),
        memory_mode=table.text("memory_mode"),
    )


def _qnn(table: Table) -> QnnTarget:
    table.check_keys(QnnTarget, required=("htp_arch",))
    arch = table.whole("htp_arch")
    assert arch is not None
    return QnnTarget(htp_arch=arch, soc_model=table.whole("soc_model"))


def _platform(table: Table) -> PlatformTarget:
    table.check_keys(PlatformTarget, required=("platform",))
    return PlatformTarget(platform=table.text("platform"))
