"""The phases of a start, measured in fresh processes on the fake engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeai.benchmarking.phases import measure_phases
from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.errors import ModelError, UsageError
from tests.conftest import MakeFake

#: A call that sleeps lasts at least so long, and on a busy machine longer.
SLEEP_MS = 30.0


def test_each_phase_is_told_with_its_spread(make_fake: MakeFake) -> None:
    path = make_fake(slow_ms={"fake:cpu": SLEEP_MS})
    steps: list[tuple[int, int]] = []

    found = measure_phases(
        path, variant="net", delegate="fake:cpu", repeats=2, warm_s=0.1, on_step=lambda *step: steps.append(step[:2])
    )

    assert found.repeats == 2
    assert found.first_ms >= SLEEP_MS
    assert found.warm_ms >= SLEEP_MS
    assert found.process_start_ms > 0
    assert found.import_ms > found.load_ms > 0
    assert found.compile_cold_ms < SLEEP_MS + found.first_ms
    assert all(low <= getattr(found, name) <= high for name, (low, high) in found.spread.items())
    phases = ("process_start", "import", "load", "compile_cold", "first", "warm")
    assert set(found.spread) == {f"{name}_ms" for name in phases}
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1]


def test_an_engine_that_keeps_nothing_compiled_has_no_cached_phase(make_fake: MakeFake) -> None:
    found = measure_phases(make_fake(), variant="net", delegate="fake:cpu", repeats=1, warm_s=0.01)

    assert found.compile_cached_ms is None


def test_a_crash_while_a_start_is_measured_is_an_error_that_names_the_signal(make_fake: MakeFake) -> None:
    path = make_fake(on_run="segfault")

    with pytest.raises(ModelError, match=r"net\.edge on fake:cpu crashed \(signal SIGSEGV"):
        measure_phases(path, variant="net", delegate="fake:cpu", repeats=1)


def test_a_variant_that_is_not_in_the_bundle_is_refused(make_fake: MakeFake) -> None:
    with pytest.raises(UsageError, match="no variant 'other'"):
        measure_phases(make_fake(), variant="other", repeats=1)


def test_no_repeats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Received: 0"):
        measure_phases(write_fake_model(tmp_path / "net.fake"), repeats=0)


def test_the_child_imports_nothing_of_the_runtime_before_the_imports_are_timed() -> None:
    text = "import sys, edgeai.benchmarking.phase_child; print([m for m in sys.modules if m in ('numpy', 'json')])"

    said = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "[]"
