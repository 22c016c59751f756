"""Options shared by the verbs."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from edgeai.cli import options
from edgeai_runtime.errors import UsageError

FORMATS = ("tflite", "onnx", "openvino")


def test_no_choice_means_all() -> None:
    assert options.choices(None, FORMATS, option="--format") == FORMATS


def test_choices_keep_their_order_and_lose_repetitions() -> None:
    assert options.choices("onnx, tflite,onnx", FORMATS, option="--format") == ("onnx", "tflite")


def test_an_unknown_choice_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean tflite") as caught:
        options.choices("tflit", FORMATS, option="--format")
    assert "'tflit'" in str(caught.value)


@pytest.mark.parametrize("text", ["", " , "])
def test_an_empty_list_of_choices_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--format needs at least one"):
        options.choices(text, FORMATS, option="--format")


def test_two_words_where_one_is_wanted_are_refused() -> None:
    with pytest.raises(UsageError, match="takes one of"):
        options.choice("onnx,tflite", FORMATS, option="--to")


def test_steps_for_the_only_input_stay_a_text() -> None:
    assert options.named_steps(["normalize:mean=[1,2],std=[3,4]"]) == "normalize:mean=[1,2],std=[3,4]"


def test_steps_with_a_name_are_kept_by_name() -> None:
    steps = options.named_steps(["a=cast:float32", "b=scale:factor=2"])
    assert steps == {"a": "cast:float32", "b": "scale:factor=2"}


def test_several_steps_without_names_are_refused() -> None:
    with pytest.raises(UsageError, match="NAME=STEPS"):
        options.named_steps(["cast:float32", "softmax"])


def test_no_steps_are_none() -> None:
    assert options.named_steps(None) is None


def test_shape_has_a_longer_name_and_keeps_sizes_free() -> None:
    app = typer.Typer()
    received: list[dict[str, tuple[int, ...]] | None] = []

    @app.command()
    def take(input_shape: options.InputShapes = None) -> None:
        received.append(options.parse_input_shapes(input_shape))

    CliRunner().invoke(app, ["--shape", "x=-1x3", "--input-shape", "y=4"])
    assert received == [{"x": (-1, 3), "y": (4,)}]
