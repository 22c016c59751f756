"""Single layers in 16 bits inside an 8-bit plan: which values are stored twice, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_runtime.errors import UsageError

Build = Callable[..., ir.Model]
RangesOf = Callable[..., dict[str, tuple[float, float]]]

BODY = "a = Conv(x, w) b = Conv(a, w) m = MaxPool <kernel_shape = [1, 1]> (b) y = Conv(m, w)"
WIDE_DTYPE = {"tflite-int8": "int16", "onnx-htp-u8": "uint16"}


@pytest.fixture
def chain(build: Build) -> ir.Model:
    return build(BODY, inputs="float[N,4,8,8] x", outputs="float[N,4,8,8] y", w=(4, 4, 1, 1))


@pytest.mark.parametrize("scheme", WIDE_DTYPE)
def test_a_value_is_stored_as_its_maker_does_and_converted_for_the_others(
    chain: ir.Model, ranges_of: RangesOf, scheme: str
) -> None:
    plan = plan_quantization(chain, ranges_of(chain), SCHEMES[scheme], wide=("b",))
    narrow, wide = SCHEMES[scheme].activation_dtype, WIDE_DTYPE[scheme]
    stored = {name: found.dtype for name, found in plan.activations.items()}
    assert stored == {"x": narrow, "a": narrow, "b": wide, "m": wide, "y": narrow}
    assert {name: found.dtype for name, found in plan.conversions.items()} == {"a": wide, "m": narrow}
    assert plan.wide_nodes == ("b", "m")  # what only moves values follows


def test_an_input_that_wide_layers_alone_read_is_stored_wide_at_once(chain: ir.Model, ranges_of: RangesOf) -> None:
    plan = plan_quantization(chain, ranges_of(chain), SCHEMES["tflite-int8"], wide=("a",))
    assert plan.activations["x"].dtype == "int16"
    assert set(plan.conversions) == {"a"}


@pytest.mark.parametrize("scheme", WIDE_DTYPE)
def test_the_graph_with_both_widths_runs(chain: ir.Model, ranges_of: RangesOf, scheme: str) -> None:
    plan = plan_quantization(chain, ranges_of(chain), SCHEMES[scheme], wide=("b",))
    graph = insert_qdq(chain, plan)[0]
    assert sum(node.op_type == "QuantizeLinear" for node in graph.graph) == 7
    GraphRunner(graph)


@pytest.mark.parametrize("scheme", ["onnx-u8s8", "onnx-u8s8-narrow", "onnx-s8s8", "openvino-u8s8"])
def test_an_engine_without_16_bit_kernels_is_refused(chain: ir.Model, ranges_of: RangesOf, scheme: str) -> None:
    with pytest.raises(UsageError, match="no kernels"):
        plan_quantization(chain, ranges_of(chain), SCHEMES[scheme], wide=("b",))


def test_a_wanted_node_that_is_in_float_is_told(chain: ir.Model, ranges_of: RangesOf) -> None:
    scheme = SCHEMES["tflite-int8"]
    plan = plan_quantization(chain, ranges_of(chain), scheme, wide=("b",), excluded={"b": "too sensitive"})
    assert plan.narrow_nodes == {"b": "it is computed in float"}
    assert plan.float_nodes["b"] == "too sensitive"


def test_without_wide_nodes_a_plan_has_one_width(chain: ir.Model, ranges_of: RangesOf) -> None:
    plan = plan_quantization(chain, ranges_of(chain), SCHEMES["tflite-int8"])
    assert not plan.wide_nodes
    assert not plan.conversions
