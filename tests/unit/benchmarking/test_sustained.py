"""Sustained runs: windows, drift, and whether it was throttling, with a real tree of the system's files."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from edgeai.benchmarking.result import SustainedPoint
from edgeai.benchmarking.sustained import judge_sustained, run_sustained
from edgeai_runtime.errors import UsageError

WINDOWS = 12


def points(
    slope: float, *, clocks: tuple[float, float] | None = None, heat: tuple[float, float] | None = None
) -> list[SustainedPoint]:
    """Windows that become slower by `slope` in all, with ±1 % around it, between two clocks and temperatures."""
    shares = [index / (WINDOWS - 1) for index in range(WINDOWS)]
    return [
        SustainedPoint(
            at_s=float(index),
            median_ms=10 * (1 + slope * share) * (1.01 if index % 2 else 0.99),
            p99_ms=20.0,
            calls=100,
            clock_mhz=None if clocks is None else clocks[0] + (clocks[1] - clocks[0]) * share,
            celsius=None if heat is None else heat[0] + (heat[1] - heat[0]) * share,
            rss_mib=None,
        )
        for index, share in enumerate(shares)
    ]


@pytest.mark.parametrize(
    ("slope", "signs", "throttled", "words"),
    [
        (0.5, {"clocks": (3000.0, 1800.0)}, True, "slower at the end .*, and the clock fell from"),
        (0.5, {"heat": (50.0, 90.0)}, True, "slower at the end .*, and the temperature rose from"),
        (0.5, {"clocks": (3000.0, 2999.0), "heat": (50.0, 51.0)}, False, "something else"),
        (0.0, {"heat": (50.0, 90.0)}, False, "no slowdown beyond chance.*temperature rose"),
        (-0.3, {"clocks": (3000.0, 1800.0)}, False, "no slowdown beyond chance.*faster at the end"),
        (0.5, {}, None, "slower at the end .*tells neither clock nor temperature"),
        (0.0, {}, None, "tells neither clock nor temperature"),
    ],
)
def test_throttling_is_slower_beyond_chance_and_a_sign_of_it(
    slope: float, signs: dict[str, tuple[float, float]], throttled: bool | None, words: str
) -> None:
    found = judge_sustained(points(slope, **signs), seconds=12.0)

    assert found.throttled is throttled
    assert re.search(words, found.reason)


def test_the_processors_own_counter_is_a_sign_too() -> None:
    found = judge_sustained(points(0.5), seconds=12.0, throttled_more=True)

    assert found.throttled is True
    assert "counted throttling" in found.reason


def test_the_drift_is_the_last_third_over_the_first_with_an_interval_around_it() -> None:
    found = judge_sustained(points(0.5), seconds=12.0)

    assert found.drift == pytest.approx(1.43 / 1.07, rel=0.03)
    assert found.drift_ci95[0] < found.drift < found.drift_ci95[1]


def test_a_run_has_windows_with_what_the_system_tells(tmp_path: Path) -> None:
    cores = tmp_path / "devices/system/cpu/cpu0/cpufreq"
    cores.mkdir(parents=True)
    (cores / "scaling_cur_freq").write_text("1800000\n")
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("x86_pkg_temp\n")
    (zone / "temp").write_text("41000\n")
    done: list[int] = []

    found = run_sustained(
        lambda: time.sleep(0.002),
        seconds=0.5,
        window_s=0.1,
        system=tmp_path,
        on_step=lambda now, total, label: done.append(total),
    )

    assert 3 <= len(found.points) <= 6
    assert len(done) == len(found.points)
    assert all(point.clock_mhz == 1800.0 and point.celsius == 41.0 for point in found.points)
    assert all(point.median_ms >= 2 and point.p99_ms >= point.median_ms and point.calls for point in found.points)
    assert [point.at_s for point in found.points] == sorted(point.at_s for point in found.points)
    assert found.seconds >= 0.3


def test_a_call_longer_than_the_run_still_has_three_windows(tmp_path: Path) -> None:
    found = run_sustained(lambda: time.sleep(0.02), seconds=0.01, window_s=0.005, system=tmp_path)

    assert [point.calls for point in found.points] == [1, 1, 1]
    assert found.throttled is None


def test_a_run_of_no_time_is_refused() -> None:
    with pytest.raises(UsageError, match="Received: 0"):
        run_sustained(lambda: None, seconds=0)
