"""A search for a device: what does not fit is rejected with the reason, widths are what its kernels like."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeai_converters.graph.shapes import infer_shapes
from edgeai_converters.prune.groups import find_groups, prunable
from edgeai_converters.search.judge import reject_for_device
from edgeai_converters.search.rivals import widths_in_multiples
from edgeai_devices.fit_report import FitCheck, FitReport


def report(*checks: FitCheck) -> FitReport:
    return FitReport(device="board", verified="none", checks=checks)


def failed(name: str, limit: int | None = None, value: int | None = None) -> FitCheck:
    return FitCheck(name=name, ok=False, limit=limit, value=value, detail=f"too much {name}")


def test_what_fits_is_not_rejected() -> None:
    fits = FitCheck(name="ram", ok=True, limit=10, value=5, detail="")

    assert reject_for_device(report(fits)) is None


def test_a_misfit_is_rejected_with_the_device_the_reason_and_by_how_much() -> None:
    rejection = reject_for_device(report(failed("ram", limit=100, value=150)))

    assert rejection is not None
    assert rejection.limit == "device"
    assert rejection.reason == "does not fit board: too much ram"
    assert rejection.excess == pytest.approx(0.5)


def test_flash_is_left_to_the_limit_on_the_size() -> None:
    assert reject_for_device(report(failed("flash", limit=100, value=150))) is None


def test_only_the_cause_is_told() -> None:
    rejection = reject_for_device(report(failed("operators"), failed("delegates"), failed("accelerator")))

    assert rejection is not None
    assert rejection.reason == "does not fit board: too much operators"


@pytest.mark.parametrize(("multiple", "widths"), [(16, (16, 32)), (8, (8, 16, 24, 32)), (64, None), (1, None)])
def test_widths_are_multiples_and_narrow_layers_keep_their_choice(
    multiple: int, widths: tuple[int, ...] | None
) -> None:
    generator = np.random.default_rng(0)
    constants = {"w": (40, 3, 3, 3), "v": (4, 40, 1, 1)}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Conv", ["h", "v"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(generator.normal(size=size).astype(np.float32), n) for n, size in constants.items()],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    infer_shapes(model)

    found = widths_in_multiples(prunable(find_groups(model)), multiple)

    assert list(found.values()) == ([widths] if widths else [])
