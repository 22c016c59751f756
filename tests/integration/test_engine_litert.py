"""What is particular to LiteRT: XNNPACK's partitions, state, quantized boundaries and its chatter."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import DataError, PlacementError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.placement import Placement

pytestmark = [pytest.mark.litert, pytest.mark.assets]

#: Kernels round differently, and on noise the network's softmax magnifies it: 12 of 256 steps were measured.
MOST_STEPS = 16

RESNET = "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite"


@pytest.fixture(autouse=True)
def _engine_and_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path / "cache"))


def test_operations_that_xnnpack_leaves_are_named_with_the_reason(assets: Path) -> None:
    with load(assets / RESNET, threads=1) as model:
        operations = model.placement.operations

    assert Counter(one.op_type for one in operations) == {
        "CONV_2D": 9,
        "ADD": 3,
        "AVERAGE_POOL_2D": 1,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }
    left = [one for one in operations if one.delegate != "litert:xnnpack"]
    assert [(one.op_type, one.delegate, one.device) for one in left] == [
        ("AVERAGE_POOL_2D", "litert:cpu", "cpu"),
        ("SOFTMAX", "litert:cpu", "cpu"),
    ]
    assert "not taken by XNNPACK" in left[0].reason


def test_the_reference_delegate_runs_everything_in_reference_kernels(assets: Path) -> None:
    placement = Placement(require="litert:reference")
    with load(assets / RESNET, placement=placement, threads=1) as model:
        assert {one.delegate for one in model.placement.operations} == {"litert:reference"}


def test_xnnpack_alone_may_be_demanded_and_is_refused_when_an_operation_is_left(assets: Path) -> None:
    with pytest.raises(
        PlacementError, match="2 of 16 operations run outside litert:xnnpack: AVERAGE_POOL_2D on litert:cpu"
    ):
        load(assets / RESNET, placement=Placement(allow=("litert:xnnpack",)), threads=1)


def test_xnnpack_and_reference_agree_within_a_few_steps_on_an_int8_network(assets: Path) -> None:
    x = np.random.default_rng(0).integers(-128, 128, size=(4, 32, 32, 3), dtype=np.int8)
    outputs = []
    for delegate in ("litert:xnnpack", "litert:reference"):
        session = get_engine("litert").open(assets / RESNET, delegate=delegate, threads=1, options={})
        outputs.append(session.run([x])[0].astype(int))

    assert np.abs(outputs[0] - outputs[1]).max() <= MOST_STEPS
    assert outputs[0].std() > 10 * np.abs(outputs[0] - outputs[1]).std()


@pytest.mark.parametrize("name", ["mnist_lstm_float", "mnist_lstm_int8"])
def test_a_recurrent_network_forgets_between_calls(assets: Path, name: str) -> None:
    with load(assets / "mnist" / f"{name}.tflite", threads=1) as model:
        spec = model.inputs[0]
        x = np.random.default_rng(0).integers(0, 100, size=(1, 28, 28)).astype(spec.dtype)
        first = model(x)
        model(np.zeros_like(x))

        np.testing.assert_array_equal(model(x), first)
        np.testing.assert_array_equal(model(np.concatenate([x, x]))[1], first[0])


def test_a_quantized_input_is_described_and_the_error_says_how_to_quantize(assets: Path) -> None:
    with load(assets / "mlperf_tiny/keyword_spotting/kws_ref_model.tflite", threads=1) as model:
        quantization = model.inputs[0].quantization
        assert quantization is not None
        assert quantization.scale == pytest.approx(0.5847029)
        assert quantization.zero_point == 83
        with pytest.raises(DataError, match="wants int8") as caught:
            model(np.zeros((1, 49, 10, 1), np.float32))
    assert "round(x / 0.58470291) + 83, as int8" in caught.value.hint


def test_loading_and_running_say_nothing_on_standard_error(assets: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with load(assets / RESNET, threads=1) as model:
        model(np.zeros((1, 32, 32, 3), np.int8))
        model(np.zeros((2, 32, 32, 3), np.int8))

    assert capfd.readouterr() == ("", "")


def test_options_are_refused_because_there_are_none(assets: Path) -> None:
    with pytest.raises(UsageError, match="litert:xnnpack has no option 'a'"):
        get_engine("litert").open(assets / RESNET, delegate="litert:xnnpack", threads=1, options={"a": "b"})
