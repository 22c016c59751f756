"""Operators in the resolver's words, and the parts of the arena."""

from __future__ import annotations

import pytest

from edgeai.exporting.tflm_arena import kernels_of
from edgeai.exporting.tflm_operators import method_of, micro_rules, resolver_methods
from edgeai_devices.catalog import find_profile
from edgeai_devices.operator_facts import ModelFacts, OperatorFacts
from edgeai_runtime.errors import ModelError


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("L2_POOL_2D", "AddL2Pool2D"),
        ("RESIZE_NEAREST_NEIGHBOR", "AddResizeNearestNeighbor"),
        ("RELU6", "AddRelu6"),
        ("PADV2", "AddPadV2"),
        ("CUMSUM", "AddCumSum"),
        ("SPLIT_V", "AddSplitV"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("BATCH_TO_SPACE_ND", "AddBatchToSpaceNd"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
        ("ethos-u", "AddEthosU"),
    ],
)
def test_an_operator_is_named_as_the_resolver_names_it(operator: str, method: str) -> None:
    assert method_of(operator) == method


def test_no_two_operators_have_one_method() -> None:
    names = micro_rules().allowed or ()
    assert len({method_of(name) for name in names}) == len(names) > 90


def test_an_operator_without_a_kernel_is_named_with_its_place() -> None:
    operators = (
        OperatorFacts(name="CONV_3D", label="block/conv", precision="int8"),
        OperatorFacts(name="ADD", label="sum", precision="int8"),
    )
    with pytest.raises(ModelError, match=r"no kernel for CONV_3D \(at block/conv\)"):
        resolver_methods(ModelFacts(format="tflite", operators=operators, size_bytes=1))


@pytest.mark.parametrize(
    ("device", "kernels"),
    [(None, "cmsis-nn"), ("esp32-s3", "esp-nn"), ("stm32h743", "cmsis-nn"), ("nrf52840", "cmsis-nn")],
)
def test_scratch_memory_is_that_of_the_devices_kernels(device: str | None, kernels: str) -> None:
    assert kernels_of(find_profile(device) if device else None) == kernels
