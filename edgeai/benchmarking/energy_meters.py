"""The meters of energy that Linux shows as files: RAPL of x86 processors, INA chips of boards, a battery in use.

RAPL counts energy (`/sys/class/powercap`, documented in the kernel's power capping framework); the others tell the
power of the moment. Nothing is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")
"""Channels of Jetson boards that carry the whole board; the others are parts of it, and are not added to it."""


@dataclass(frozen=True, kw_only=True)
class EnergyMeter:
    """A meter that could be read.

    Attributes:
        name: `rapl`, `ina` or `battery`.
        covers: what it measures, in words.
        joules: reads the energy since the meter was found; `None` where it tells power only.
        watts: reads the power now; `None` where the meter counts energy.
    """

    name: str
    covers: str
    joules: Callable[[], float] | None = None
    watts: Callable[[], float] | None = None


def find_meter(system: Path) -> tuple[EnergyMeter | None, str]:
    """Return the first meter that can be read below `system` (`/sys`), or `None` and why there is none."""
    problems: list[str] = []
    for find in (_rapl, _ina, _battery):
        try:
            meter = find(system)
            if meter is not None:
                (meter.joules or meter.watts or float)()
                return meter, ""
        except PermissionError as error:
            problems.append(f"{error.filename} may only be read by root")
        except (OSError, ValueError) as error:
            problems.append(f"a meter cannot be read: {error}")
    return None, "; ".join(problems) or "this system shows no meter (RAPL, INA, or a battery that is in use)"


def _rapl(system: Path) -> EnergyMeter | None:
    """Packages, and the memory beside them where it has a counter of its own."""
    zones: dict[Path, str] = {}
    for folder in sorted((system / "class" / "powercap").glob("intel-rapl:*")):
        name = _text(folder / "name")
        if name.startswith("package") or name == "dram":
            zones[folder / "energy_uj"] = name
    if not zones:
        return None
    ranges = [_number(file.with_name("max_energy_range_uj")) for file in zones]
    return EnergyMeter(name="rapl", covers=" + ".join(zones.values()), joules=_sum_of_counters(list(zones), ranges))


def _sum_of_counters(files: list[Path], ranges: list[float]) -> Callable[[], float]:
    """Return a counter of the sum of several counters, each of which may begin again between two readings."""
    last = [_number(file) for file in files]
    total = 0.0

    def read() -> float:
        nonlocal total
        for place, (file, most) in enumerate(zip(files, ranges, strict=True)):
            now = _number(file)
            total += now - last[place] + (most if now < last[place] else 0.0)
            last[place] = now
        return total / 1e6

    return read


def _ina(system: Path) -> EnergyMeter | None:
    """Power chips on the board: `power*_input` (µW), else voltage (mV) times current (mA) per channel."""
    channels: list[tuple[str, Callable[[], float]]] = []
    for folder in sorted((system / "class" / "hwmon").glob("hwmon*")):
        if not _text(folder / "name").startswith("ina"):
            continue
        powers = sorted(folder.glob("power[0-9]*_input"))
        for file in powers or sorted(folder.glob("curr[0-9]*_input")):
            number = "".join(letter for letter in file.name if letter.isdigit())
            label = _text(folder / f"in{number}_label") or f"{folder.name} {number}"
            if powers:
                channels.append((label, partial(_product, file)))
            elif (volts := folder / f"in{number}_input").is_file():
                channels.append((label, partial(_product, file, volts)))
    whole = [channel for channel in channels if channel[0] in WHOLE_BOARD]
    used = whole or channels
    if not used:
        return None
    return EnergyMeter(
        name="ina", covers=" + ".join(label for label, _ in used), watts=lambda: sum(read() for _, read in used)
    )


def _battery(system: Path) -> EnergyMeter | None:
    """A battery that is being used up: while it is charged, its current says nothing about the machine."""
    for folder in sorted((system / "class" / "power_supply").glob("*")):
        if _text(folder / "type") != "Battery" or _text(folder / "status") != "Discharging":
            continue
        power, current, volts = folder / "power_now", folder / "current_now", folder / "voltage_now"
        read: Callable[[], float] | None = None
        if power.is_file():
            read = partial(_product, power)
        elif current.is_file() and volts.is_file():
            read = partial(_product, current, volts, unit=1e-12)
        if read is not None:
            return EnergyMeter(name="battery", covers="the whole machine", watts=read)
    return None


def _product(*files: Path, unit: float = 1e-6) -> float:
    """Return watts of microwatts, or of milliamperes and millivolts; of other units by `unit`.

    Some batteries tell what flows out of them as negative.
    """
    return abs(math.prod(_number(file) for file in files)) * unit


def _number(file: Path) -> float:
    return float(file.read_text())


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
