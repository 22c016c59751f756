"""Which scheme is for which format and machine."""

from __future__ import annotations

import pytest

from edgeai_converters.quantize.schemes import SCHEMES, Scheme, scheme_for
from edgeai_runtime.manifest import Format


@pytest.mark.parametrize(
    ("format", "isa", "machine", "name"),
    [
        ("tflite", (), "x86_64", "tflite-int8"),
        ("tflite", (), "aarch64", "tflite-int8"),
        ("openvino", (), "x86_64", "openvino-u8s8"),
        ("onnx", ("avx2", "avx512_vnni"), "x86_64", "onnx-u8s8"),
        ("onnx", ("avx2", "avx_vnni"), "x86_64", "onnx-u8s8"),
        ("onnx", (), "x86_64", "onnx-u8s8"),
        ("onnx", ("avx2",), "AMD64", "onnx-u8s8-narrow"),
        ("onnx", ("asimd", "asimddp"), "aarch64", "onnx-s8s8"),
        ("onnx", (), "arm64", "onnx-s8s8"),
    ],
)
def test_a_machine_gets_the_scheme_its_kernels_want(
    format: Format, isa: tuple[str, ...], machine: str, name: str
) -> None:
    assert scheme_for(format, isa=isa, machine=machine).name == name


@pytest.mark.parametrize("scheme", [one for one in SCHEMES.values() if one.activation_dtype in ("int8", "uint8")])
def test_softmax_stays_in_float_in_8_bits_on_a_cpu(scheme: Scheme) -> None:
    assert "Softmax" not in scheme.roles or scheme.name == "onnx-htp-u8"


@pytest.mark.parametrize("scheme", [one for one in SCHEMES.values() if one.wide], ids=lambda one: one.name)
def test_the_wide_scheme_of_a_scheme_has_16_bit_activations(scheme: Scheme) -> None:
    assert scheme.wide
    assert SCHEMES[scheme.wide].activation_dtype in ("int16", "uint16")
    assert SCHEMES[scheme.wide].wide is None


@pytest.mark.parametrize("name", ["onnx-u8s8", "onnx-u8s8-narrow", "onnx-s8s8", "openvino-u8s8"])
def test_engines_without_16_bit_kernels_have_no_wide_scheme(name: str) -> None:
    assert SCHEMES[name].wide is None


def test_openvino_gets_unsigned_activations() -> None:
    assert SCHEMES["openvino-u8s8"].activation_dtype == "uint8"


def test_two_narrow_products_fit_sixteen_bits() -> None:
    assert 2 * 255 * SCHEMES["onnx-u8s8-narrow"].weight_limit <= 2**15 - 1 < 2 * 255 * 127


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_an_operator_with_a_reason_to_stay_float_has_no_role(scheme: Scheme) -> None:
    assert not set(scheme.float_reasons) & set(scheme.roles)
