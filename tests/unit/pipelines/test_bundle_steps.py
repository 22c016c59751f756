"""Steps that need more than one array: files of the bundle, text, sound of another rank, other outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_converters.step_assets import pack_assets
from edgeai_runtime.bundle import Bundle, open_bundle, verify_bundle
from edgeai_runtime.errors import BundleError, DataError, UsageError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, Step, TensorSpec
from edgeai_runtime.model import Model

MakeStage = Callable[..., Path]

WORDS = b"[PAD]\n[UNK]\ngood\nbad\n"
TOKENIZE = Step(op="tokenize", params={"vocabulary": "words.txt", "length": 3})


def test_a_model_takes_text(make_stage: MakeStage) -> None:
    path = make_stage(
        "text",
        2,
        shape=(None, 3),
        before=[TOKENIZE, Step(op="cast", params={"dtype": "float32"})],
        assets={"words.txt": WORDS},
    )
    assert all(check.ok for check in verify_bundle(path))
    with load(path) as model:
        assert model(["good film", "bad"]).tolist() == [[4, 2, 0], [6, 0, 0]]
        assert model("bad").tolist() == [6, 0, 0]
        assert model({"x": np.array(["bad"])})["y"].tolist() == [[6, 0, 0]]
        with pytest.raises(DataError, match="takes a list of texts"):
            model(np.zeros((1, 3), np.float32))


def test_a_model_without_such_steps_refuses_text(make_stage: MakeStage) -> None:
    with load(make_stage("plain")) as model, pytest.raises(DataError, match="'x' wants"):
        model(["good", "bad"])


@pytest.mark.parametrize("name", ["words.txt", "../words.txt", "/etc/hostname"])
def test_a_file_that_is_not_in_the_bundle_is_never_read(make_stage: MakeStage, name: str) -> None:
    step = Step(op="tokenize", params={"vocabulary": name, "length": 3})
    path = make_stage("text", shape=(None, 3), before=[step], assets={"other.txt": WORDS})
    with pytest.raises(BundleError, match="not among the bundle's assets"):
        load(path)
    assert [check.name for check in verify_bundle(path) if not check.ok] == ["steps"]


def test_a_single_sound_is_told_from_a_batch_by_its_rank(make_stage: MakeStage) -> None:
    frames = Step(op="spectrogram", params={"frame_length": 4, "hop": 4, "window": "ones"})
    with load(make_stage("sound", shape=(None, 2, 3), before=[frames])) as model:
        sound = np.ones((5, 8), np.float32)
        assert model(sound).shape == (5, 2, 3)  # two axes, one less than the model's input
        assert model(sound[0]).shape == (2, 3)


class Two:
    """A session with two outputs: the boxes and the scores of its one input."""

    inputs = (TensorSpec(name="x", shape=(None, 3, 6), dtype="float32"),)
    outputs = (
        TensorSpec(name="boxes", shape=(None, 3, 4), dtype="float32"),
        TensorSpec(name="scores", shape=(None, 3, 2), dtype="float32"),
    )

    def run(self, arrays: Any) -> list[Any]:
        return [arrays[0][:, :, :4], arrays[0][:, :, 4:]]

    def placement(self) -> Any: ...

    def close(self) -> None: ...


def test_an_output_takes_another_in_after_that_one_s_steps(tmp_path: Path) -> None:
    after = {"boxes": (Step(op="detect", params={"scores": "scores"}),), "scores": (Step(op="sigmoid"),)}
    manifest = Manifest(
        name="two", version="1", inputs=Two.inputs, outputs=Two.outputs, variants=(), postprocessing=after
    )
    model = Model(Two(), variant=None, bundle=Bundle(manifest=manifest, root=tmp_path, digest=""), threads=1)
    x = np.array([[0, 0, 1, 1, -9, 2], [5, 5, 6, 6, 1, 0], [0, 0, 1, 1, -9, 1]], np.float32)
    found = model(x)  # a result alone: the scores were taken in
    assert [(box["label"], box["box"][0]) for box in found] == [("1", 0.0), ("0", 5.0)]
    assert found[0]["score"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert set(model({"x": x[np.newaxis]})) == {"boxes"}


def test_an_output_can_not_take_itself_in(make_stage: MakeStage) -> None:
    detect = Step(op="detect", params={"scores": "y"})
    with pytest.raises(BundleError, match="take in 'y', which is no other output"):
        load(make_stage("self", shape=(None, 3, 6), after=[detect]))


def test_boxes_of_a_single_image_are_one_list(make_stage: MakeStage) -> None:
    found = Step(op="detect", params={"score": 0.7})
    path = make_stage("boxes", shape=(None, 1, 6), after=[found])
    with load(path) as model:
        boxes = np.array([[[0, 0, 1, 1, 0.2, 0.75]]], np.float32)
        assert model(boxes) == [[{"label": "1", "score": 0.75, "box": [0.0, 0.0, 1.0, 1.0]}]]
        assert model(boxes[0]) == [{"label": "1", "score": 0.75, "box": [0.0, 0.0, 1.0, 1.0]}]


def test_assets_are_digested_members(make_stage: MakeStage) -> None:
    bundle = open_bundle(make_stage("text", shape=(None, 3), before=[TOKENIZE], assets={"words.txt": WORDS}))
    assert bundle.assets()["words.txt"].read_bytes() == WORDS
    assert bundle.manifest.assets["words.txt"].path == "assets/words.txt"


def _tokenize(path: Path) -> dict[str, list[Step]]:
    return {"x": [Step(op="tokenize", params={"vocabulary": str(path), "length": 3})]}


def test_paths_become_assets(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "w.txt", tmp_path / "b" / "w.txt"
    for path in (first, second):
        path.parent.mkdir()
        path.write_bytes(WORDS)
    before, after, assets = pack_assets({**_tokenize(first), "z": _tokenize(first)["x"]}, {"y": _tokenize(second)["x"]})
    names: list[Any] = [steps[0].params["vocabulary"] for steps in (before["x"], before["z"], after["y"])]
    assert names == ["w.txt", "w.txt", "w-2.txt"]
    assert assets == {"w.txt": first, "w-2.txt": second}


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'tokenize' names the file .*nowhere"):
        pack_assets(_tokenize(tmp_path / "nowhere"), {})
