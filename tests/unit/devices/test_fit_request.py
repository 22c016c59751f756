"""What is made for a device: its formats, precisions and sizes, and widths that its kernels like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeai_devices.catalog import find_profile
from edgeai_devices.fit_request import (
    fixed_batch_ways,
    formats_for,
    precisions_for,
    size_for,
    wants_fixed_batch,
    width_multiple,
)
from edgeai_devices.profile_rules import KernelWidth
from edgeai_runtime.errors import UsageError


def test_the_formats_and_precisions_of_the_device_unless_others_are_asked_for() -> None:
    board = find_profile("rpi4")

    assert formats_for(board, None) == board.formats
    assert formats_for(board, ["onnx"]) == ("onnx",)
    assert precisions_for(board, None) == board.precisions
    assert precisions_for(board, ["int4"]) == ("int4",)


def test_a_format_that_the_device_does_not_run_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"runs tflite, onnx\. Received: 'openvino'"):
        formats_for(find_profile("rpi4"), ["openvino"])


@pytest.mark.parametrize(("asked", "size"), [(None, 2048 * 1024), (1000, 1000), (10**8, 2048 * 1024)])
def test_a_file_is_no_larger_than_the_flash(asked: int | None, size: int) -> None:
    assert size_for(find_profile("stm32u575"), asked) == size


def test_a_computer_sets_no_limit_on_the_size() -> None:
    assert size_for(find_profile("rpi4"), None) is None


def test_widths_follow_the_kernels_of_convolutions_in_that_precision() -> None:
    board = find_profile("rpi5")

    assert width_multiple(board, "int8") == 16
    assert width_multiple(board, "float32") == 1


def test_kernels_of_other_operators_do_not_count_and_several_are_joined() -> None:
    rules = replace(
        find_profile("rpi5").rules[0],
        kernel_widths=(
            KernelWidth(channels=6, source="s"),
            KernelWidth(channels=4, source="s", operators=("Conv",)),
            KernelWidth(channels=7, source="s", operators=("DEPTHWISE_CONV_2D",)),
        ),
    )

    assert width_multiple(replace(find_profile("rpi5"), rules=(rules,)), "int8") == 12


@pytest.mark.parametrize(("device", "wants"), [("coral-usb", True), ("coral-devboard", False), ("stm32u575", False)])
def test_the_batch_is_fixed_only_where_nothing_takes_a_free_one(device: str, wants: bool) -> None:
    assert wants_fixed_batch(find_profile(device)) is wants


def test_an_accelerator_that_needs_a_fixed_batch_gets_one_even_where_a_cpu_stands_beside_it() -> None:
    assert wants_fixed_batch(replace(find_profile("coral-devboard"), kind="npu"))


def test_the_batch_is_fixed_for_a_compiler_or_an_accelerator_that_is_asked_for_and_takes_no_free_one() -> None:
    phone = find_profile("galaxy-s24-snapdragon")
    assert fixed_batch_ways(phone) == ()
    assert fixed_batch_ways(phone, compilers=["qnn"]) == ("qnn",)
    assert fixed_batch_ways(phone, ["tflite"], compilers=["qnn"]) == ()
    assert fixed_batch_ways(phone, ["onnx"], hardware="npu") == ("onnxruntime:qnn-htp", "qnn")
    assert fixed_batch_ways(phone, hardware="gpu") == ()


def test_a_compiler_that_takes_the_batch_as_stored_needs_none_fixed() -> None:
    assert fixed_batch_ways(find_profile("ethos-u55-128"), compilers=["vela"], hardware="npu") == ()
