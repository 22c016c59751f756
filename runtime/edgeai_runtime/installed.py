"""What is installed here, and whether it is what a variant needs; nothing is imported to find out.

`importlib.metadata` would do, but importing it takes longer than loading a small model; the names of the folders that
it reads say the version as well.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Mapping

_REQUIREMENT = re.compile(r"\s*(==|!=|>=|<=|>|<)\s*([0-9][0-9A-Za-z.+-]*)\s*")
_PACKAGES = {"litert": ("ai-edge-litert", "tflite-runtime", "tensorflow")}


def unmet_need(needs: Mapping[str, str]) -> str:
    """Return the first of `Variant.needs` that this machine does not satisfy, in words; empty when there is none.

    A package that is not installed is not complained about here: another one may do (TensorFlow brings a LiteRT
    interpreter), and if none does, the engine's own error names the line that installs it. Instruction sets are not
    judged where the system does not tell them, and a requirement that is not understood is not a reason to refuse.
    """
    for name, wanted in needs.items():
        if name == "isa":
            from edgeai_runtime.bench.machine import isa_flags

            here = isa_flags()
            missing = [flag for flag in wanted.replace(",", " ").split() if here and flag not in here]
            if missing:
                return f"needs a processor with {' and '.join(missing)}"
            continue
        found = sys.version.split()[0] if name == "python" else installed_version(name)
        if found and not satisfies(found, wanted):
            return f"needs {name} {wanted}; {found} is installed"
    return ""


def engine_version(engine: str) -> str:
    """Return the package that `engine` is from, with its version; empty when none is installed."""
    found = ((name, installed_version(name)) for name in _PACKAGES.get(engine, (engine,)))
    return next((f"{name} {version}" for name, version in found if version), "")


@functools.lru_cache(maxsize=64)
def installed_version(package: str) -> str:
    """Return an installed package's version, or nothing."""
    wanted = _plain(package)
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            if entry.endswith((".dist-info", ".egg-info")):
                name, _, version = entry.rpartition(".")[0].partition("-")
                if version and _plain(name) == wanted:
                    return version
    return ""


def satisfies(version: str, requirement: str) -> bool:
    """Say whether `version` fits a requirement such as `>=2.1,<3`; parts that are not understood are fulfilled."""
    have = _numbers(version)
    for part in requirement.split(","):
        match = _REQUIREMENT.fullmatch(part)
        if match is None:
            continue
        sign, want = match.group(1), _numbers(match.group(2))
        order = (have > want) - (have < want)
        if not {"==": order == 0, "!=": order != 0, ">=": order >= 0, "<=": order <= 0, ">": order > 0}.get(
            sign, order < 0
        ):
            return False
    return True


def _numbers(version: str) -> list[int]:
    """Return the release numbers without trailing zeros, so that 2.1 equals 2.1.0."""
    numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[^0-9.]", version, maxsplit=1)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
