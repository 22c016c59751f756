"""The wrappers for Android and iOS: every step has its method in both languages, and both parse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai.exporting import export
from edgeai.exporting.app_steps import translate_steps
from edgeai.exporting.rendering import fill_template
from edgeai_runtime.transforms.parse import parse_steps
from edgeai_runtime.transforms.table import OPERATIONS

WRITTEN = {
    "cast": "cast:int8",
    "scale": "scale:factor=2",
    "normalize": "normalize:mean=[1,2,3],std=4",
    "dequantize": "dequantize:0.5",
    "resize": "resize:4,4,method=antialias",
    "crop": "crop:4,4",
    "pad": "pad:4,4",
    "channels": "channels:[2,1,0]",
    "layout": "layout:NHWC>NCHW",
    "expand": "expand",
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "argmax": "argmax",
    "labels": "labels:top=2",
}
NOT_WRITTEN = (
    *("mono", "resample", "fit_length", "spectrogram", "mel", "log", "dct", "log_mel", "mfcc", "tokenize", "top_k"),
    *("corners", "anchor_boxes", "grid_boxes", "detect"),
)


def test_every_step_is_written_or_known_not_to_be() -> None:
    assert {*WRITTEN, *NOT_WRITTEN} == set(OPERATIONS)


@pytest.mark.parametrize("language", ["kt", "swift"])
@pytest.mark.parametrize("text", [*WRITTEN.values(), "resize:4,4", "resize:4,4,method=nearest"])
def test_every_written_step_has_its_method_with_these_arguments_in_this_order(language: str, text: str) -> None:
    source = fill_template(f"tensor.{language}.j2", package="p")
    calls = translate_steps(parse_steps(text), dtype="uint8" if text.startswith("resize") else "float32")
    assert not calls.missing
    assert calls.calls or calls.top == 2
    for call in calls.calls:
        found = re.search(rf"\bfunc? {call.method}\(([^)]*)\)", source)
        assert found is not None, call.method
        names = re.findall(r"(\w+):", found[1])
        assert names == list(call.arguments)


def test_integers_are_rounded_after_resizing_and_floats_are_not() -> None:
    methods = [
        [call.method for call in translate_steps(parse_steps("resize:4,4"), dtype=dtype).calls]
        for dtype in ("uint8", "float32")
    ]
    assert methods == [["resizeBilinear", "round"], ["resizeBilinear"]]


def test_a_step_that_is_not_written_leaves_the_input_to_the_app() -> None:
    assert translate_steps(parse_steps("scale:factor=2;mono"), dtype="float32").missing == "mono"


@pytest.mark.parametrize("to", ["android", "ios"])
def test_an_app_gets_model_labels_and_samples(small: Any, tmp_path: Path, to: str) -> None:
    made = export(small.path, to=to, out=tmp_path / to)
    by_name = {path.name: path for path in made.files}
    assert by_name["small_net_2.tflite"].read_bytes() == small.model.read_bytes()
    assert by_name["small_net_2_labels.txt"].read_text(encoding="utf-8").splitlines()[2] == "two ??/ $x \\n é"
    golden = np.frombuffer(by_name["small_net_2_golden.bin"].read_bytes(), "<f4").reshape(4, 4 + 3)
    np.testing.assert_allclose(golden[:, 4:], golden[:, :4] * 0.25 @ small.weights + small.bias, rtol=1e-5, atol=1e-4)
    assert made.facts["golden_samples"] == 4


@pytest.mark.parametrize(("to", "language", "count"), [("android", "kotlin", 4), ("ios", "swift", 3)])
def test_the_sources_parse(small: Any, tmp_path: Path, to: str, language: str, count: int) -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="tree-sitter is not installed")
    grammar = pytest.importorskip(f"tree_sitter_{language}", reason=f"tree-sitter-{language} is not installed")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    made = export(small.path, to=to, out=tmp_path / to)
    sources = [path for path in made.files if path.suffix in (".kt", ".swift")]
    assert len(sources) == count
    assert [path.name for path in sources if parser.parse(path.read_bytes()).root_node.has_error] == []
