"""Clock, temperature, throttling and load, from files as the kernel shows them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeai_runtime.bench.meters import celsius, clock_mhz, load_meter, processor_times, throttle_count


def write(root: Path, files: dict[str, object]) -> Path:
    """Write files of one value each below `root`."""
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")
    return root


def test_the_clock_is_that_of_the_fastest_processor(tmp_path: Path) -> None:
    core = "devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
    write(tmp_path, {core.format(0): 800000, core.format(11): 2400000})

    assert clock_mhz(system=tmp_path) == 2400.0


def test_the_temperature_is_that_of_the_processor_and_not_of_the_disk(tmp_path: Path) -> None:
    files: dict[str, object] = {
        "class/thermal/thermal_zone0/type": "x86_pkg_temp",
        "class/thermal/thermal_zone0/temp": 51000,
        "class/hwmon/hwmon0/name": "nvme",
        "class/hwmon/hwmon0/temp1_input": 78000,
        "class/hwmon/hwmon1/name": "k10temp",
        "class/hwmon/hwmon1/temp1_input": 63500,
    }

    assert celsius(system=write(tmp_path, files)) == 63.5


def test_where_no_sensor_is_said_to_be_the_processors_the_hottest_counts(tmp_path: Path) -> None:
    files: dict[str, object] = {
        "class/thermal/thermal_zone0/type": "acpitz",
        "class/thermal/thermal_zone0/temp": 44000,
        "class/thermal/thermal_zone1/type": "acpitz",
        "class/thermal/thermal_zone1/temp": 47000,
        "class/thermal/thermal_zone2/type": "broken",
        "class/thermal/thermal_zone2/temp": -273000,
    }

    assert celsius(system=write(tmp_path, files)) == 47.0


@pytest.mark.parametrize(
    ("files", "count"),
    [
        (
            {
                "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": 3,
                "devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": 4,
            },
            7,
        ),
        ({"devices/platform/soc/soc:firmware/get_throttled": "50005"}, 1),
        ({"devices/platform/soc/soc:firmware/get_throttled": "50000"}, 0),
    ],
)
def test_throttling_is_told_by_counters_or_by_the_flags_of_now(
    tmp_path: Path, files: dict[str, object], count: int
) -> None:
    assert throttle_count(system=write(tmp_path, files)) == count


def test_a_system_that_shows_nothing_is_answered_with_none(tmp_path: Path) -> None:
    read = load_meter(proc=tmp_path)

    assert (clock_mhz(system=tmp_path), celsius(system=tmp_path), throttle_count(system=tmp_path)) == (None,) * 3
    assert processor_times(proc=tmp_path) is None
    assert read() is None


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="counts in the system's ticks")
def test_what_others_take_is_the_busy_time_without_the_idle_one(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]

    def stat(**seconds: float) -> None:
        numbers = [str(int(seconds.get(name, 0) * ticks)) for name in fields]
        write(tmp_path, {"stat": f"cpu  {' '.join(numbers)}\ncpu0 1 2 3"})

    stat(user=100, idle=1000)
    read = load_meter(proc=tmp_path)
    start = time.perf_counter()
    time.sleep(0.15)
    stat(user=200, steal=50, idle=9000, iowait=500, guest=70)
    found = read()

    assert found is not None
    assert found == pytest.approx(150 / (time.perf_counter() - start), rel=0.2)
    assert read() is None, "too short a time to say"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_work_of_another_process_is_seen_and_our_own_is_not() -> None:
    spin = "import time\nend = time.perf_counter() + 20\nwhile time.perf_counter() < end: pass"

    def load(seconds: float = 0.5) -> float:
        read, end = load_meter(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            sum(range(1000))
        found = read()
        assert found is not None
        return found

    before = processor_times()
    alone = load()
    after = processor_times()
    with subprocess.Popen([sys.executable, "-c", spin]) as other:
        time.sleep(0.2)
        beside = load()
        other.kill()

    assert before is not None
    assert after is not None
    assert after[2] > before[2]
    assert 0 <= alone <= (os.cpu_count() or 1)
    assert beside > 0.2
