"""What the bench says about the machine and the memory of this process."""

from __future__ import annotations

import json
import os
import platform
import sys

import numpy as np
import pytest

from edgeai_runtime.bench.machine import describe_machine, describe_moment, isa_flags, usable_cores
from edgeai_runtime.bench.memory import peak_resident_mib, resident_mib


def test_the_machine_is_described_by_text_that_goes_into_json() -> None:
    machine = describe_machine()

    assert json.loads(json.dumps(machine)) == machine
    assert all(isinstance(value, str) and value for value in machine.values())


def test_what_changes_from_one_moment_to_the_next_is_no_part_of_the_machine() -> None:
    """Steps are known by the machine that they were measured on: a load average in it would redo them each time."""
    moment = describe_moment()

    assert set(moment) == {"clock_mhz", "celsius", "throttle_count", "load"}
    assert not set(moment) & set(describe_machine())


def test_the_description_does_not_name_the_host_or_the_user() -> None:
    text = json.dumps(describe_machine())

    assert platform.node() not in text or len(platform.node()) < 4
    assert (os.environ.get("HOME") or "/nowhere") not in text


@pytest.mark.parametrize(
    ("cpuinfo", "flags"),
    [
        ("model name\t: X\nflags\t\t: fpu avx2 avx512_vnni amx_int8\n", ["avx2", "avx512_vnni", "amx_int8"]),
        ("Features\t: fp asimd asimddp i8mm\n", ["asimd", "asimddp", "i8mm"]),
        ("flags : fpu\n", []),
        ("", []),
    ],
)
def test_instruction_sets_are_read_from_the_flags_of_x86_and_the_features_of_arm(
    cpuinfo: str, flags: list[str]
) -> None:
    assert isa_flags(cpuinfo) == flags


def test_at_least_one_core_can_be_used_and_no_more_than_there_are() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_that_is_held_shows_in_the_resident_size_and_the_peak() -> None:
    before = resident_mib()
    block = np.ones(32 * 1024 * 1024 // 8)
    after, peak = resident_mib(), peak_resident_mib()

    assert before is not None
    assert after is not None
    assert peak is not None
    assert after - before > 24
    assert peak >= after - 1
    assert block[0] == 1
