"""`--to ethos-u`, `coreml`, …: what compilers of devices make, by their own table."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai.exporting.made import Exported

if TYPE_CHECKING:
    from edgeai_devices.profile import Profile

_TABLE = "edgeai_devices.compilers.table"


def compiler_names() -> tuple[str, ...]:
    """Return the compilers that artifacts can be made with; none where this version has no table of them."""
    try:
        there = find_spec(_TABLE) is not None
    except ModuleNotFoundError:  # the package of the table is not there either
        there = False
    return tuple(import_module(_TABLE).COMPILERS) if there else ()


def compile_for_device(
    path: Path, *, compiler: str, profile: Profile | None, out: Path, variant: str | None, force: bool
) -> Exported:
    """Have a model compiled.

    Raises:
        UsageError: no device was named that the compiler could be told.
        EdgeAIError: what the compiler says.
    """
    table: Any = import_module(_TABLE)
    made = table.compile_artifact(path, compiler=compiler, profile=profile, out=out)
    return Exported(files=tuple(made.files), facts={"compiler": compiler, "report": made.report})
