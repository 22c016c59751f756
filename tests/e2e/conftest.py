"""What the tests of the device wheel on other platforms share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def run_away() -> Callable[..., str]:
    """A function that runs a command away from the checkout, so that nothing is imported from it."""

    def run(*command: str | Path, cwd: Path, timeout_s: float = 600, **environment: str) -> str:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        clean |= {"EDGEAI_CACHE": str(cwd / "cache"), **environment}
        done = subprocess.run(
            [str(word) for word in command], cwd=cwd, env=clean, capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def device_wheel(tmp_path_factory: pytest.TempPathFactory, run_away: Callable[..., str]) -> Path:
    """The wheel of `runtime/`, built from this checkout."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("device-wheel")
    words = ("-q", "--no-deps", "--no-build-isolation", "-w", folder, _ROOT / "runtime")
    run_away(sys.executable, "-m", "pip", "wheel", *words, cwd=folder)
    (built,) = folder.glob("edgeai_runtime-*.whl")
    return built
