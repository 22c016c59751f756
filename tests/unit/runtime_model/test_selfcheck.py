"""Running the golden inputs on this machine: what agrees, what does not, and what could not be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.__main__ import main
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Step, Tolerance
from edgeai_runtime.selfcheck import compare_golden

MakeBundle = Callable[..., Path]
X = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def _golden(recorded: Any) -> dict[str, dict[str, Any]]:
    return {
        "golden/inputs.npz": {"x": X},
        "golden/outputs.npz": {"source/y": X.astype(np.float32), "net/y": np.asarray(recorded, np.float32)},
    }


def _compare(path: Path) -> tuple[bool, str]:
    with load(path) as model:
        return compare_golden(open_bundle(path), model, delegate=model.placement.delegate)


def _own(atol: float) -> dict[str, dict[str, Any]]:
    return {"net": {"tolerance": {"y": Tolerance(atol=atol, rtol=0.0)}}}


def test_a_variant_that_gives_what_was_recorded_is_good(make_bundle: MakeBundle) -> None:
    assert _compare(make_bundle({"net": {"factor": 2}}, golden=_golden(2 * X)))[0]


@pytest.mark.parametrize(("atol", "ok"), [(0.1, True), (0.01, False)])
def test_the_tolerance_of_the_variant_decides(make_bundle: MakeBundle, atol: float, ok: bool) -> None:
    found, detail = _compare(make_bundle({"net": {}}, golden=_golden(X + 0.05), own=_own(atol)))

    assert found is ok
    assert "0.05" in detail


def test_a_result_that_is_not_a_number_is_never_good(make_bundle: MakeBundle) -> None:
    assert not _compare(make_bundle({"net": {"factor": float("nan")}}, golden=_golden(X), own=_own(1e9)))[0]


def test_preprocessing_runs_before_and_postprocessing_does_not(make_bundle: MakeBundle) -> None:
    steps = {"x": (Step(op="scale", params={"factor": 3.0}),)}
    after = {"y": (Step(op="argmax"),)}
    path = make_bundle({"net": {}}, golden=_golden(3 * X), preprocessing=steps, postprocessing=after)

    assert _compare(path)[0]


@pytest.mark.parametrize(("recorded", "code"), [(X, 0), (X + 1, 1)])
def test_verify_runs_the_golden_inputs(
    make_bundle: MakeBundle, recorded: Any, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(make_bundle({"net": {}}, golden=_golden(recorded)))

    assert main(["verify", path]) == code
    assert main(["verify", path, "--no-run"]) == 0
    assert "golden net" in capsys.readouterr().out
