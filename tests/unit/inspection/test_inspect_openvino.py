"""Inspecting OpenVINO IR from its XML."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_converters.inspection.openvino import inspect_openvino
from edgeai_runtime.errors import ModelError

PARAMETER = """
<layer id="0" name="x" type="Parameter"><data shape="?,3,10,10" element_type="f32"/>
 <output><port id="0" precision="FP32"><dim>-1</dim><dim>3</dim><dim>10</dim><dim>10</dim></port></output></layer>
"""
WEIGHT = """
<layer id="1" name="w" type="Const"><data element_type="{type}" shape="8,3,3,3" offset="0" size="{size}"/>
 <output><port id="0" precision="{port}"><dim>8</dim><dim>3</dim><dim>3</dim><dim>3</dim></port></output></layer>
"""
CONVERT = """
<layer id="2" name="wf" type="Convert"><data destination_type="f32"/>
 <input><port id="0" precision="{port}"><dim>8</dim><dim>3</dim><dim>3</dim><dim>3</dim></port></input>
 <output><port id="1" precision="FP32"><dim>8</dim><dim>3</dim><dim>3</dim><dim>3</dim></port></output></layer>
"""
CONVOLUTION = """
<layer id="3" name="conv" type="Convolution"><data strides="1,1"/>
 <input><port id="0"><dim>-1</dim><dim>3</dim><dim>10</dim><dim>10</dim></port>
  <port id="1"><dim>8</dim><dim>3</dim><dim>3</dim><dim>3</dim></port></input>
 <output><port id="2" precision="FP32"><dim>-1</dim><dim>8</dim><dim>8</dim><dim>8</dim></port></output></layer>
<layer id="4" name="y" type="Result">
 <input><port id="0"><dim>-1</dim><dim>8</dim><dim>8</dim><dim>8</dim></port></input></layer>
"""
MACS = 8 * 8 * 8 * 27


def _edge(source: int, port: int, target: int, to_port: int) -> str:
    return f'<edge from-layer="{source}" from-port="{port}" to-layer="{target}" to-port="{to_port}"/>'


def _save(folder: Path, layers: str, edges: list[str], *, size: int) -> Path:
    path = folder / "model.xml"
    body = f"<layers>{layers}</layers><edges>{''.join(edges)}</edges>"
    path.write_text(f'<?xml version="1.0"?>\n<net name="m" version="11">{body}</net>')
    path.with_suffix(".bin").write_bytes(bytes(size))
    return path


def _stored(folder: Path, kind: str, port: str, size: int) -> Path:
    layers = PARAMETER + WEIGHT.format(type=kind, size=size, port=port) + CONVERT.format(port=port) + CONVOLUTION
    edges = [_edge(0, 0, 3, 0), _edge(1, 0, 2, 0), _edge(2, 1, 3, 1), _edge(3, 2, 4, 0)]
    return _save(folder, layers, edges, size=size)


def test_a_float_convolution_is_counted_for_batch_one(tmp_path: Path) -> None:
    layers = PARAMETER + WEIGHT.format(type="f32", size=864, port="FP32") + CONVOLUTION
    path = _save(tmp_path, layers, [_edge(0, 0, 3, 0), _edge(1, 0, 3, 1), _edge(3, 2, 4, 0)], size=864)
    found = inspect_openvino(path)
    assert (found.parameters, found.macs, found.precision) == (216, MACS, "float32")
    assert found.operators == {"Convolution": 1}
    assert found.size_bytes == path.stat().st_size + 864
    assert found.inputs[0].shape == (None, 3, 10, 10)
    assert found.outputs[0].shape == (None, 8, 8, 8)
    assert found.outputs[0].name == "conv"


@pytest.mark.parametrize(
    ("kind", "port", "size", "precision"), [("f16", "FP16", 432, "float16"), ("i8", "I8", 216, "dynamic_int8")]
)
def test_the_precision_is_that_of_the_stored_weight(
    tmp_path: Path, kind: str, port: str, size: int, precision: str
) -> None:
    found = inspect_openvino(_stored(tmp_path, kind, port, size))
    assert (found.parameters, found.precision) == (216, precision)


def test_a_bin_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = _stored(tmp_path, "f16", "FP16", 432)
    path.with_suffix(".bin").write_bytes(bytes(431))
    with pytest.raises(ModelError, match="cut short: 431 bytes, 432 are needed"):
        inspect_openvino(path)


def test_a_bin_that_is_missing_is_named(tmp_path: Path) -> None:
    path = _stored(tmp_path, "f16", "FP16", 432)
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match=r"model\.bin, which is missing"):
        inspect_openvino(path)


@pytest.mark.parametrize("text", ["", "<net>", "<html></html>", "no xml", '<net name="x"></net>'])
def test_what_is_no_ir_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"bad\.xml"):
        inspect_openvino(path)
