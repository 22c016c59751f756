"""What a float artifact tells of the quantized ones that are not made yet."""

from __future__ import annotations

import pytest

from edgeai_devices.catalog import find_profile
from edgeai_devices.fit_outlook import foresee_fit, in_precision
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts, TensorLife
from edgeai_runtime.manifest import Precision

KIB = 1024


def facts(*, size: int = 8 * KIB, tensor: int = KIB, operator: str = "CONV_2D") -> ModelFacts:
    operators = (
        OperatorFacts(name=operator, label="y", precision="float32", is_heavy=True),
        OperatorFacts(name="RELU", label="z", precision="float32"),
        OperatorFacts(name="SHAPE", label="s", precision=None),
    )
    lives = (TensorLife(name="y", size_bytes=tensor, first_step=0, last_step=1),)
    return ModelFacts(format="tflite", operators=operators, size_bytes=size, tensors=lives)


@pytest.mark.parametrize(
    ("precision", "computes", "size", "tensor"),
    [
        ("float32", ["float32", "float32", None], 8 * KIB, KIB),
        ("int8", ["int8", "int8", None], 2 * KIB, KIB // 4),
        ("int16x8", ["int16x8", "int16x8", None], 2 * KIB, KIB // 2),
        ("dynamic_int8", ["dynamic_int8", "float32", None], 2 * KIB, KIB),
    ],
)
def test_weights_and_activations_shrink_as_the_precision_says(
    precision: Precision, computes: list[Precision | None], size: int, tensor: int
) -> None:
    found = in_precision(facts(), precision)
    assert [each.precision for each in found.operators] == computes
    assert (found.size_bytes, found.tensors[0].size_bytes) == (size, tensor)


def failed(given: ModelFacts, device: str, precision: Precision) -> list[str]:
    return [check.name for check in foresee_fit(given, find_profile(device), precision).failed]


def test_what_int8_mends_is_no_reason_to_refuse() -> None:
    large = facts(tensor=400 * KIB)  # the nRF52840 has 256 KiB
    assert failed(large, "nrf52840", "float32") == ["ram"]
    assert failed(large, "nrf52840", "int8") == []


def test_what_no_precision_mends_is_foretold() -> None:
    assert failed(facts(), "ethos-u55-128", "float16") == ["precision"]
    assert failed(facts(tensor=4000 * KIB), "nrf52840", "int8") == ["ram"]
    assert failed(facts(size=40000 * KIB), "nrf52840", "int8") == ["flash"]


def test_a_plan_that_misses_by_little_may_still_turn_out_to_fit() -> None:
    assert failed(facts(tensor=4 * 270 * KIB), "nrf52840", "int8") == []
