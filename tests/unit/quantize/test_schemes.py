"""Which scheme is for which format and machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES, Scheme, scheme_for
from edgeai_runtime.manifest import Format

Build = Callable[..., ir.Model]
RangesOf = Callable[..., dict[str, tuple[float, float]]]


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


def test_narrow_weights_are_what_a_machine_without_vnni_gets(build: Build, ranges_of: RangesOf) -> None:
    model = build("y = Conv(x, w)", inputs="float[N,4,8,8] x", outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))
    largest = {}
    for isa in (("avx2",), ("avx2", "avx512_vnni")):
        scheme = scheme_for("onnx", isa=isa, machine="x86_64")
        graph = insert_qdq(model, plan_quantization(model, ranges_of(model), scheme))[0].graph
        stored = graph.initializers["w_quantized"].const_value
        assert stored is not None
        largest[isa[-1]] = int(np.abs(stored.numpy().astype(int)).max())
    assert largest == {"avx2": 63, "avx512_vnni": 127}


def test_openvino_gets_unsigned_activations() -> None:
    assert SCHEMES["openvino-u8s8"].activation_dtype == "uint8"


def test_two_narrow_products_fit_sixteen_bits() -> None:
    assert 2 * 255 * SCHEMES["onnx-u8s8-narrow"].weight_limit <= 2**15 - 1 < 2 * 255 * 127


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_an_operator_with_a_reason_to_stay_float_has_no_role(scheme: Scheme) -> None:
    assert not set(scheme.float_reasons) & set(scheme.roles)
