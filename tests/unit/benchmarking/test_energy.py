"""Energy of a call, by a real tree of files as the kernel shows its meters."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai.benchmarking.energy import measure_energy
from edgeai.benchmarking.energy_meters import find_meter
from edgeai_runtime.errors import UsageError

SECONDS = 0.2


def write(root: Path, folder: str, **files: object) -> Path:
    """Write files of one value each into `folder` below `root`, as sysfs has them."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (root / folder / name).write_text(f"{value}\n")
    return root / folder


def counting_call(file: Path, joules: float, wraps_at: float = 1e12) -> Callable[[], None]:
    """Return a call that takes 2 ms and moves a counter of microjoules on."""

    def call() -> None:
        time.sleep(0.002)
        file.write_text(f"{int((float(file.read_text()) + joules * 1e6) % wraps_at)}\n")

    return call


def test_the_packages_and_their_memory_are_added_up(tmp_path: Path) -> None:
    package = write(tmp_path, "class/powercap/intel-rapl:0", name="package-0", energy_uj=5, max_energy_range_uj=10**12)
    memory = write(tmp_path, "class/powercap/intel-rapl:0:1", name="dram", energy_uj=7, max_energy_range_uj=10**12)
    write(tmp_path, "class/powercap/intel-rapl:0:0", name="core", energy_uj=9, max_energy_range_uj=10**12)
    first, second = counting_call(package / "energy_uj", 1.0), counting_call(memory / "energy_uj", 0.5)

    found = measure_energy(lambda: (first(), second()), seconds=SECONDS, system=tmp_path)

    assert found.meter == "rapl"
    assert found.joules_per_call == pytest.approx(1.5, rel=1e-3)
    assert found.idle_watts == 0
    assert found.busy_watts is not None
    assert 0 < found.busy_watts <= 1.5 / 0.004
    assert "package-0 + dram" in found.reason
    assert "idle power included" in found.reason


def test_a_counter_that_begins_again_at_zero_loses_nothing(tmp_path: Path) -> None:
    most = 10**8
    zone = write(
        tmp_path, "class/powercap/intel-rapl:0", name="package-0", energy_uj=most - 5_000_000, max_energy_range_uj=most
    )

    found = measure_energy(counting_call(zone / "energy_uj", 0.5, wraps_at=most), seconds=SECONDS, system=tmp_path)

    assert found.joules_per_call == pytest.approx(0.5, rel=1e-3)


def test_the_channel_of_the_whole_board_is_not_added_to_its_parts(tmp_path: Path) -> None:
    write(
        tmp_path,
        "class/hwmon/hwmon3",
        name="ina3221",
        in1_label="VDD_IN",
        in1_input=5000,
        curr1_input=1200,
        in2_label="VDD_CPU",
        in2_input=1000,
        curr2_input=3000,
    )

    found = measure_energy(lambda: time.sleep(0.002), seconds=SECONDS, system=tmp_path)

    assert found.meter == "ina"
    assert found.busy_watts == pytest.approx(6.0)
    assert found.idle_watts == pytest.approx(6.0)
    assert found.joules_per_call is not None
    assert found.joules_per_call >= 0.002 * 6.0


def test_parts_are_added_where_no_channel_carries_the_whole(tmp_path: Path) -> None:
    write(tmp_path, "class/hwmon/hwmon0", name="coretemp", power1_input=1)
    write(tmp_path, "class/hwmon/hwmon1", name="ina226", power1_input=2_500_000)
    write(tmp_path, "class/hwmon/hwmon2", name="ina219", power1_input=500_000)

    meter, _ = find_meter(tmp_path)

    assert meter is not None
    assert meter.watts is not None
    assert meter.watts() == pytest.approx(3.0)


@pytest.mark.parametrize(
    "files", [{"power_now": 7_000_000}, {"current_now": -700_000, "voltage_now": 10_000_000}], ids=["power", "current"]
)
def test_a_battery_in_use_tells_the_power_of_the_machine(tmp_path: Path, files: dict[str, int]) -> None:
    write(tmp_path, "class/power_supply/BAT0", type="Battery", status="Discharging", **files)

    found = measure_energy(lambda: time.sleep(0.002), seconds=SECONDS, system=tmp_path)

    assert found.meter == "battery"
    assert found.busy_watts == pytest.approx(7.0)
    assert "measure for 30 s or more" in found.reason


@pytest.mark.parametrize("status", ["Charging", "Full"])
def test_a_battery_that_is_not_in_use_is_no_meter(tmp_path: Path, status: str) -> None:
    write(tmp_path, "class/power_supply/BAT0", type="Battery", status=status, power_now=7_000_000)

    found = measure_energy(lambda: None, seconds=SECONDS, system=tmp_path)

    assert found.meter == "unknown"
    assert found.joules_per_call is None


def test_without_a_meter_the_energy_is_unknown_and_no_call_is_made(tmp_path: Path) -> None:
    calls = itertools.count()

    found = measure_energy(lambda: next(calls), seconds=SECONDS, system=tmp_path)

    assert (found.meter, found.joules_per_call, found.idle_watts, found.busy_watts) == ("unknown", None, None, None)
    assert "no meter" in found.reason
    assert next(calls) == 0


def test_a_meter_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    zone = write(tmp_path, "class/powercap/intel-rapl:0", name="package-0", max_energy_range_uj=1)
    (zone / "energy_uj").mkdir()

    found = measure_energy(lambda: None, seconds=SECONDS, system=tmp_path)

    assert found.meter == "unknown"
    assert "cannot be read" in found.reason


def test_a_counter_that_does_not_move_is_no_meter(tmp_path: Path) -> None:
    write(tmp_path, "class/powercap/intel-rapl:0", name="package-0", energy_uj=5, max_energy_range_uj=100)

    found = measure_energy(lambda: time.sleep(0.002), seconds=SECONDS, system=tmp_path)

    assert found.meter == "unknown"
    assert "does not move" in found.reason


def test_a_meter_that_stops_answering_is_told(tmp_path: Path) -> None:
    board = write(tmp_path, "class/hwmon/hwmon1", name="ina226", power1_input=2_500_000)

    def call() -> None:
        (board / "power1_input").write_text("\n")
        time.sleep(0.002)

    found = measure_energy(call, seconds=SECONDS, system=tmp_path)

    assert found.meter == "unknown"
    assert "stopped answering" in found.reason


def test_energy_of_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Received: 0"):
        measure_energy(lambda: None, seconds=0, system=tmp_path)
