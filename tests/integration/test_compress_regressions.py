"""What a search must not reuse, confuse or pass over in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import edgeai
from edgeai.result import CompressResult
from edgeai_converters.float_graph import source_digest

pytestmark = pytest.mark.onnxruntime
_RANDOM = np.random.default_rng(0)
_WEIGHT = _RANDOM.normal(0, 0.3, (64, 32)).astype(np.float32)
_HEAD = _RANDOM.normal(0, 0.3, (32, 4)).astype(np.float32)


def _network(path: Path, *, second_output: bool = False) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "h"], ["scores"]),
    ]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])]
    if second_output:
        outputs.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 32]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        outputs,
        [numpy_helper.from_array(_WEIGHT, "w"), numpy_helper.from_array(_HEAD, "h")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _samples(n: int = 120) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    x = np.random.default_rng(1).normal(0, 1, (n, 64)).astype(np.float32)
    return x, (np.maximum(x @ _WEIGHT, 0) @ _HEAD).argmax(-1)


def _compress(model: Path, data: Any, work: Path, **options: Any) -> CompressResult:
    return edgeai.compress(model, data, work=work, formats=["onnx"], max_drop=0.5, **options)


@pytest.fixture
def int8_drop() -> Callable[[CompressResult], float]:
    def _drop(result: CompressResult) -> float:
        return next(
            one.search_drop
            for one in result.candidates
            if one.recipe.precision == "int8" and one.search_drop is not None
        )

    return _drop


def test_ranges_are_found_anew_when_the_preprocessing_changes(tmp_path: Path, int8_drop: Any) -> None:
    model, (x, y) = _network(tmp_path / "m.onnx"), _samples()
    data = (x * 100, y)
    _compress(model, data, tmp_path / "work", precisions=["int8"], preprocess="scale:factor=0.0001")
    again = _compress(model, data, tmp_path / "work", precisions=["int8"], preprocess="scale:factor=0.01")
    fresh = _compress(model, data, tmp_path / "fresh", precisions=["int8"], preprocess="scale:factor=0.01")
    assert int8_drop(again) == int8_drop(fresh)
    assert int8_drop(again) < 0.2


def test_weights_in_a_file_beside_the_model_are_part_of_what_it_is_known_by(tmp_path: Path) -> None:
    model = onnx.load(_network(tmp_path / "inside.onnx"))
    path = tmp_path / "outside.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="outside.data", size_threshold=0)
    before = source_digest(path)
    content = bytearray((tmp_path / "outside.data").read_bytes())
    content[100] ^= 1
    (tmp_path / "outside.data").write_bytes(content)
    assert source_digest(path) != before


def test_a_recipe_that_changes_nothing_is_not_offered_under_its_name(tmp_path: Path) -> None:
    model = onnx.load(_network(tmp_path / "m.onnx"))
    small = numpy_helper.from_array(_WEIGHT[:8, :4].copy(), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [small],
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=model.opset_import, ir_version=9), path)
    found = edgeai.compress(path, work=tmp_path / "work", formats=["onnx"], precisions=["dynamic_int8"])
    dynamic = next(one for one in found.candidates if one.recipe.precision == "dynamic_int8")
    assert (dynamic.status, dynamic.limit) == ("rejected", "no_effect")
    assert "no weight is large enough" in dynamic.reason


def test_only_the_chosen_way_to_int8_is_certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeai_converters.search.judge.SAME_FILE_MARGIN", 100.0)  # speed is not the matter here
    monkeypatch.setattr("edgeai_converters.search.int8.Int8Search.is_good", lambda self, candidate: False)
    found = edgeai.compress(
        _network(tmp_path / "m.onnx"),
        _samples(),
        work=tmp_path / "work",
        formats=["onnx"],
        precisions=["int8"],
        max_drop=0.5,
    )
    methods = [one for one in found.candidates if one.recipe.precision == "int8"]
    splits = [one.certificate.split for one in methods if one.certificate]
    assert len(methods) >= 3
    assert splits.count("certification") == 1


def test_formats_are_compared_by_interleaved_runs(tmp_path: Path) -> None:
    found = edgeai.compress(_network(tmp_path / "m.onnx"), _samples(), work=tmp_path / "work", max_drop=0.5)
    first, *_ = found.candidates
    assert first.relative_latency == 1.0
    for one in found.candidates:
        if one.measurement and one.recipe.precision != "float32" and one.relative_latency:
            own = next(c for c in found.candidates if c.id == f"{one.recipe.format}-float32")
            assert own.relative_latency is not None
            assert one.relative_latency == pytest.approx(own.relative_latency / one.measurement.speedup_vs_float)


def test_an_output_that_the_metric_does_not_score_is_held_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeai_converters.search.trial._OTHER_OUTPUTS_COSINE", 1.1)  # nothing is that alike
    model = _network(tmp_path / "m.onnx", second_output=True)
    found = _compress(model, _samples(), tmp_path / "work", precisions=["int8"])
    int8 = [one for one in found.candidates if one.recipe.precision == "int8"]
    assert all(one.status == "rejected" and "cosine" in one.reason for one in int8)


def test_a_function_is_called_once_and_what_it_prints_stays_off_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noisy.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    print('loading')\n"
        "    x = np.random.default_rng().normal(size=(120, 64)).astype('float32')\n"  # other samples at each call
        "    return x, (x.sum(-1) > 0).astype(int)\n"
    )
    model = _network(tmp_path / "m.onnx")
    found = _compress(model, f"{tmp_path / 'noisy.py'}:load", tmp_path / "work", precisions=["float16"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("loading") == 1
    assert all(one.status == "accepted" for one in found.candidates)


def test_nothing_made_is_told_with_every_reason(tmp_path: Path) -> None:
    found = edgeai.compress(
        _network(tmp_path / "m.onnx"), work=tmp_path / "work", formats=["onnx"], precisions=["float32"], max_size=1
    )
    assert found.binding_limit == "max_size"
    assert found.best is not None
    assert not found.within_budget
