"""A vocabulary that changes under the same name: nothing that was measured with the old one counts any more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import edgeai
from edgeai.result import CompressResult
from edgeai_converters.step_assets import key_of_steps
from edgeai_runtime.errors import UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Step

WORDS = ["[PAD]", "[UNK]", "no", "yes"]
TEXT = """<ir_version: 8, opset_import: ["" : 18]> g (int32[batch,2] words) => (float[batch,2] scores) {
    numbers = Cast<to=1> (words) scores = Softmax<axis=1> (numbers) }"""


def _steps(vocabulary: Path) -> dict[str, tuple[Step, ...]]:
    return {"words": (Step(op="tokenize", params={"vocabulary": str(vocabulary), "length": 2}),)}


def test_the_key_has_the_content_of_the_files_and_not_their_folder(tmp_path: Path) -> None:
    for folder, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words.txt").write_text(content)
    a, b, c = (key_of_steps(_steps(tmp_path / folder / "words.txt")) for folder in "abc")
    assert a == b != c
    assert key_of_steps({"x": (Step(op="softmax"),)}) == [{"x": (Step(op="softmax"),)}]
    with pytest.raises(UsageError, match="which is not there"):
        key_of_steps(_steps(tmp_path / "none.txt"))


@pytest.mark.onnxruntime
def test_another_vocabulary_under_the_same_name_is_measured_anew(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx.save(onnx.parser.parse_model(TEXT), tmp_path / "net.onnx")
    labels = np.random.default_rng(0).integers(0, 2, 80)
    samples = np.array([f"{'no yes' if label else 'yes no'} w{number}" for number, label in enumerate(labels)])
    np.savez(tmp_path / "data.npz", words=samples, y=labels)

    def compress(words: list[str]) -> CompressResult:
        (tmp_path / "words.txt").write_text("\n".join(words) + "\n")
        return edgeai.compress(
            tmp_path / "net.onnx",
            data=str(tmp_path / "data.npz"),
            formats=["onnx"],
            precisions=["float32"],
            preprocess={"words": f"tokenize:{tmp_path / 'words.txt'},2"},
            work=tmp_path / "work",
        )

    scores = []
    for best, words in ((1, WORDS), (0, [*WORDS[:2], *WORDS[:1:-1]])):  # the two words change places
        result = compress(words)
        claim = result.candidates[0].certificate
        assert claim is not None
        scores.append(claim.source_score)
        path = result.save(tmp_path / f"{best}.edge")
        with load(path, selfcheck="always", threads=1) as model:  # its golden samples are those of its own vocabulary
            assert model(["no yes"])[0].argmax() == best
    assert scores == [1.0, 0.0]
