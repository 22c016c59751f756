"""How many processors may be used: affinity, control groups of both versions, big and little cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_runtime import cores


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight processors and a root for /sys and /proc."""
    monkeypatch.setattr(cores, "_affinity", lambda: list(range(8)))
    return tmp_path


def _write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _cores(root: Path) -> int:
    return cores.usable_cores(system=root / "sys", proc=root / "proc")


def test_without_limits_every_processor_of_the_affinity_counts(machine: Path) -> None:
    assert _cores(machine) == 8


@pytest.mark.parametrize(
    ("quota", "count"), [("200000 100000\n", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)]
)
def test_the_quota_of_a_control_group_counts_rounded_up(machine: Path, quota: str, count: int) -> None:
    _write(machine, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_DOT_max=quota)

    assert _cores(machine) == count


def test_the_smallest_quota_on_the_way_to_the_root_counts(machine: Path) -> None:
    _write(
        machine,
        proc__self__cgroup="0::/slice/app\n",
        sys__fs__cgroup__slice__cpu_DOT_max="300000 100000",
        sys__fs__cgroup__slice__app__cpu_DOT_max="max 100000",
    )

    assert _cores(machine) == 3


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_version_one_of_control_groups_counts_too(machine: Path, mount: str) -> None:
    folder = machine / "sys" / "fs" / "cgroup" / mount / "app"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("400000")
    (folder / "cpu.cfs_period_us").write_text("100000")
    _write(machine, proc__self__cgroup="4:memory:/app\n3:cpu,cpuacct:/app\n1:name=systemd:/\n")

    assert _cores(machine) == 4


def _capacities(root: Path, values: list[int]) -> None:
    for index, value in enumerate(values):
        folder = root / "sys" / "devices" / "system" / "cpu" / f"cpu{index}"
        folder.mkdir(parents=True)
        (folder / "cpu_capacity").write_text(f"{value}\n")


def test_little_cores_are_left_out_by_default(machine: Path) -> None:
    _capacities(machine, [250, 250, 250, 250, 870, 870, 870, 1024])

    assert cores.usable_big_cores(system=machine / "sys", proc=machine / "proc") == 4
    assert cores.thread_counts(8, system=machine / "sys") == [1, 2, 4, 8]
    assert cores.thread_counts(7, system=machine / "sys") == [1, 2, 4, 7]


@pytest.mark.parametrize("values", [[], [1024] * 8])
def test_where_all_are_alike_all_are_big(machine: Path, values: list[int]) -> None:
    _capacities(machine, values)

    assert cores.usable_big_cores(system=machine / "sys", proc=machine / "proc") == 8


def test_a_team_of_big_cores_is_measured(machine: Path) -> None:
    _capacities(machine, [250] * 5 + [1024] * 3)

    assert cores.thread_counts(8, system=machine / "sys") == [1, 2, 3, 4, 8]
