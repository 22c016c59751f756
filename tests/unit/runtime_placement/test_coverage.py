"""Coverage by operations and by multiply-accumulates, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_runtime.errors import BundleError, PlacementError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.placement import OperationPlacement, Placement, PlacementReport

MakeFake = Callable[..., Path]
MACS = {"taken": 900, "rest": 100}


def _report(macs: dict[str, int], *names: str) -> PlacementReport:
    operations = tuple(
        OperationPlacement(name=name, op_type="Mul", device="npu" if name == "taken" else "cpu", delegate="fake:npu")
        for name in names
    )
    return PlacementReport(engine="fake", delegate="fake:npu", operations=operations, macs=macs)


def test_macs_are_shared_by_the_device_of_each_operation() -> None:
    assert _report(MACS, "taken", "rest").mac_shares() == {"cpu": 0.1, "gpu": 0.0, "npu": 0.9, "unknown": 0.0}


def test_everything_on_one_device_needs_no_record() -> None:
    shares = _report({}, "taken").mac_shares()

    assert shares is not None
    assert shares["npu"] == 1.0


@pytest.mark.parametrize("macs", [{}, {"taken": 900, "fused away": 100}])
def test_what_the_record_does_not_tell_is_unknown(macs: dict[str, int]) -> None:
    assert _report(macs, "taken", "rest").mac_shares() is None


@pytest.mark.parametrize(("least", "used"), [(0.9, "fake:npu"), (0.95, "fake:cpu")])
def test_the_least_share_of_macs_decides(make_fake: MakeFake, least: float, used: str) -> None:
    path = make_fake(operations=10, left_behind=8, own={"macs": MACS})

    with load(path, placement=Placement(min_mac_coverage=least), selfcheck="never") as model:
        assert model.placement.delegate == used


def test_an_unknown_share_is_not_enough(make_fake: MakeFake) -> None:
    path = make_fake(delegates=("fake:npu",), left_behind=1)

    with pytest.raises(PlacementError, match="an unknown share of the multiply-accumulates on npu"):
        load(path, placement=Placement(min_mac_coverage=0.1), selfcheck="never")


def test_a_share_outside_zero_to_one_is_wrong_usage(make_fake: MakeFake) -> None:
    with pytest.raises(UsageError, match="min_mac_coverage is a share"):
        load(make_fake(), placement=Placement(min_mac_coverage=90))


def test_negative_macs_are_refused(make_fake: MakeFake) -> None:
    with pytest.raises(BundleError, match="macs of variant 'net' cannot be negative"):
        make_fake(own={"macs": {"taken": -1}})
