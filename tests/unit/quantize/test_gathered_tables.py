"""Tables that are only gathered from: stored as integers, and picked before they are made float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.gathered_tables import LEAST_ELEMENTS, table_quantization
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.train.fake_quantization import fake_quantize
from edgeai_runtime.manifest import FORMATS, Format

Build = Callable[..., ir.Model]
RangesOf = Callable[..., dict[str, tuple[float, float]]]

ROWS, WIDTH = 300, 16
DENSE = "e = Gather(t, i) y = MatMul(e, w)"
FLOAT = "e = Gather(t, i) y = Exp(e)"


def _numbers(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.25, (ROWS, WIDTH)).astype(np.float32)


def _with_outlier() -> np.ndarray:
    table = _numbers()
    table[7] *= 1000
    return table


def _graph(build: Build, body: str = FLOAT, table: np.ndarray | None = None, *, width: int = WIDTH) -> ir.Model:
    weight = {"w": (WIDTH, width)} if "w)" in body else {}
    table = _numbers() if table is None else table
    return build(body, inputs="int64[N,5] i", outputs=f"float[N,5,{width}] y", t=table, **weight)


def _stored(model: ir.Model) -> dict[str, str]:
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return {name: value.dtype.name for name, value in model.graph.initializers.items() if value.dtype is not None}


def _operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def _answer(model: ir.Model) -> np.ndarray:
    return GraphRunner(model).run({"i": np.arange(60).reshape(12, 5)})["y"]


@pytest.mark.parametrize(
    ("format", "operators"),
    [
        ("tflite", ["Gather", "DequantizeLinear", "Exp"]),
        ("onnx", ["Gather", "Cast", "Mul", "Exp"]),
        ("openvino", ["Gather", "Cast", "Mul", "Exp"]),
    ],
)
def test_rows_are_picked_as_integers_and_made_float_behind(build: Build, format: Format, operators: list[str]) -> None:
    source = _graph(build)
    model, changed = store_int8_weights(source, format=format)
    assert changed
    assert _operators(model) == operators
    assert _stored(model)["t_quantized"] == "INT8"
    assert "t" not in model.graph.initializers
    np.testing.assert_allclose(_answer(model), _answer(source), rtol=np.abs(_numbers()).max() / 127)


@pytest.mark.parametrize("format", FORMATS)
def test_a_row_that_would_ruin_one_scale_makes_one_per_row(build: Build, format: Format) -> None:
    source = _graph(build, "e = Gather(t, i) y = Tanh(e)", _with_outlier())
    model, _ = store_int8_weights(source, format=format)
    assert _operators(model) == ["Gather", "Cast", "Gather", "Mul", "Tanh"]
    assert model.graph.initializers["t_scale"].const_value.shape == (ROWS, 1)  # type: ignore[union-attr]
    np.testing.assert_allclose(_answer(model), _answer(source), atol=0.005)


def _with_spikes() -> np.ndarray:
    """Wide rows of small numbers beside one large one: rounding leaves nothing of the small ones."""
    table = np.full((8, 1024), 0.003, np.float32)
    table[:, 0] = 1.0
    return table


def _with_a_hole() -> np.ndarray:
    table = _numbers()
    table[9, 0] = np.nan
    return table


@pytest.mark.parametrize("table", [_with_spikes(), _with_a_hole()], ids=["spikes", "not a number"])
def test_a_table_that_no_scale_fits_stays_in_float(build: Build, table: np.ndarray) -> None:
    assert table_quantization(table) is None
    source = build("y = Gather(t, i)", inputs="int64[N,5] i", outputs=f"float[N,5,{table.shape[1]}] y", t=table)
    assert store_int8_weights(source, format="onnx")[1] is False


@pytest.mark.parametrize("rows", [0, 3], ids=["none", "some"])
def test_rows_of_zeros_do_not_count(rows: int) -> None:
    table = _numbers()
    table[:rows] = 0.0
    found = table_quantization(table)
    assert found is not None
    assert found.axis is None


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "body",
    [
        "e = Gather(t, i) a = Transpose(t) y = MatMul(e, a)",
        "e = Gather <axis = 1> (t, i) y = Exp(e)",
        "e = Gather(t, t2) y = Exp(e)",
    ],
    ids=["also multiplied", "another axis", "constant indices"],
)
def test_other_constants_stay_in_float(build: Build, format: Format, body: str) -> None:
    table = _numbers()
    inputs, constants = "int64[N,5] i", {"t": table}
    if "Transpose" in body:
        outputs = f"float[N,5,{ROWS}] y"
    elif "axis" in body:
        outputs = f"float[{ROWS},N,5] y"
    else:
        outputs, constants["t2"] = f"float[2,{WIDTH}] y", np.array([1, 2])
    model, _ = store_int8_weights(build(body, inputs=inputs, outputs=outputs, **constants), format=format)
    assert _stored(model)["t"] == "FLOAT"


def test_a_small_table_stays_in_float(build: Build) -> None:
    rows = LEAST_ELEMENTS // WIDTH - 1
    assert store_int8_weights(_graph(build, table=_numbers()[:rows]), format="tflite")[1] is False


def test_two_gathers_read_one_stored_table(build: Build) -> None:
    model, _ = store_int8_weights(_graph(build, "e = Gather(t, i) f = Gather(t, i) y = Add(e, f)"), format="onnx")
    assert list(_stored(model).values()).count("INT8") == 1


def test_what_is_gathered_can_be_the_output(build: Build) -> None:
    model, _ = store_int8_weights(_graph(build, "y = Gather(t, i)"), format="tflite")
    assert [value.name for value in model.graph.outputs] == ["y"]
    assert _operators(model) == ["Gather", "DequantizeLinear"]


def _planned(model: ir.Model, ranges_of: RangesOf, scheme: str) -> QuantizationPlan:
    return plan_quantization(model, ranges_of(model, e=(-0.5, 0.75)), SCHEMES[scheme])


@pytest.mark.parametrize("scheme", ["tflite-int8", "onnx-u8s8", "openvino-u8s8"])
def test_a_table_that_only_integers_read_has_the_scale_of_what_is_gathered(
    build: Build, ranges_of: RangesOf, scheme: str
) -> None:
    source = _graph(build, DENSE)
    plan = _planned(source, ranges_of, scheme)
    assert plan.tables == {"t": plan.activations["e"]}
    model, _ = insert_qdq(source, plan)
    assert _stored(model)["t_quantized"] == SCHEMES[scheme].activation_dtype.upper()
    assert "t" not in model.graph.initializers
    assert _operators(model)[:2] == ["Gather", "DequantizeLinear"]
    rounded_behind, _ = insert_qdq(source, replace(plan, tables={}))
    np.testing.assert_array_equal(_answer(model), _answer(rounded_behind))


@pytest.mark.parametrize("scheme", ["tflite-int8", "onnx-u8s8", "openvino-u8s8"])
def test_a_table_that_floats_read_too_has_a_scale_of_its_own(build: Build, ranges_of: RangesOf, scheme: str) -> None:
    source = _graph(build, "e = Gather(t, i) m = MatMul(e, w) f = Exp(e) y = Add(m, f)")
    plan = _planned(source, ranges_of, scheme)
    assert plan.tables["t"] == table_quantization(_numbers()) != plan.activations["e"]
    model, _ = insert_qdq(source, plan)
    assert _stored(model)["t_quantized"] == "INT8"
    quantize = next(node for node in model.graph if node.op_type == "QuantizeLinear")
    assert quantize.inputs[0] is next(node for node in model.graph if node.op_type == "Exp").inputs[0]
    assert "QuantizeLinear" in _operators(model)


def test_a_gather_that_is_to_stay_in_float_reads_a_float_table(build: Build, ranges_of: RangesOf) -> None:
    model = _graph(build, DENSE)
    gather = model.graph[0]
    gather.name = "words"
    plan = plan_quantization(model, ranges_of(model), SCHEMES["tflite-int8"], excluded={"words": "asked for"})
    assert plan.tables == {}


def test_in_16_bits_a_table_has_a_scale_of_its_own(build: Build, ranges_of: RangesOf) -> None:
    plan = _planned(_graph(build, DENSE), ranges_of, "tflite-int16x8")
    assert plan.tables["t"].dtype == "int8"
    assert plan.activations["e"].dtype == "int16"


def test_a_plan_for_another_graph_leaves_its_tables(build: Build, ranges_of: RangesOf) -> None:
    source = _graph(build, DENSE)
    unknown = TensorQuantization(dtype="int8", scale=(0.1,), zero_point=(0,))
    plan = replace(_planned(source, ranges_of, "onnx-u8s8"), tables={"other": unknown})
    assert _stored(insert_qdq(source, plan)[0])["t"] == "FLOAT"


def test_a_table_is_trained_in_float(build: Build, ranges_of: RangesOf) -> None:
    source = _graph(build, DENSE)
    assert "t" in fake_quantize(source, _planned(source, ranges_of, "tflite-int8")).trained
