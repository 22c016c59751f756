"""Steps as text."""

from __future__ import annotations

import random
from typing import Any

import pytest

from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.parse import format_steps, parse_steps

NORMALIZE = {"mean": [123, 116.5, 103], "std": [58, 57, 57]}
LONG = " cast : float32 ; normalize:mean=[123, 116.5,103], std=[58,57,57] ;layout:NHWC > NCHW; "


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        ("softmax", [("softmax", {})]),
        (
            LONG,
            [("cast", {"dtype": "float32"}), ("normalize", NORMALIZE), ("layout", {"from": "NHWC", "to": "NCHW"})],
        ),
        ("resize:8,9,nearest", [("resize", {"height": 8, "width": 9, "method": "nearest"})]),
        ("resize:8,9,layout=NCHW", [("resize", {"height": 8, "width": 9, "layout": "NCHW"})]),
        ("scale:1e-2,-0.5", [("scale", {"factor": 0.01, "offset": -0.5})]),
        ("channels:[2,1,0]", [("channels", {"order": [2, 1, 0]})]),
        ("softmax;labels:5", [("softmax", {}), ("labels", {"top": 5})]),
        ("argmax:axis=-1", [("argmax", {"axis": -1})]),
        (
            'tokenize:"a;b,c.txt",8,unknown="[UNK]",padding=""',
            [("tokenize", {"vocabulary": "a;b,c.txt", "length": 8, "unknown": "[UNK]", "padding": ""})],
        ),
        ('tokenize:"x=1",8', [("tokenize", {"vocabulary": "x=1", "length": 8})]),
        ('tokenize:vocabulary="12",length=8', [("tokenize", {"vocabulary": "12", "length": 8})]),
    ],
)
def test_text_becomes_steps(text: str, steps: list[tuple[str, dict[str, Any]]]) -> None:
    assert parse_steps(text) == tuple(Step(op=op, params=params) for op, params in steps)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sofmax", "no operation 'sofmax'", "'softmax'"),
        ("normalize:maen=1,std=2", "'normalize' has no parameter 'maen'", "'mean'"),
        ("softmax;;labels", "no operation ''", "Known: cast"),
        ("cast:", "nothing stands behind the colon", ""),
        ("cast:float32,int8", "'cast' takes 1 parameters: dtype", ""),
        ("resize:height=3,4", "'4' needs a name", ""),
        ("resize:3,height=4", "'height' stands twice", ""),
        ("resize:3,", "a value is missing", ""),
        ("resize:3,width=", "a value is missing", ""),
        ("channels:[2,1,0", "not closed", ""),
        ('tokenize:"a,8', "a quote is not closed", ""),
        ('tokenize:"a"b,8', "is no value", ""),
        ("channels:2]", "brackets do not match", ""),
        ("channels:[[2],1]", "brackets do not match", ""),
        ("channels:[2,,1]", "a value is missing", ""),
        ("channels:x[2]", "is no value", ""),
        ("cast:'float32'", "is no value", "a word"),
        ("cast:float", "'dtype' must be one of", ""),
        ("resize:3", "'width' is missing", "resize: height, width, method=bilinear"),
        ("scale:nan", "'factor' must be a finite number", ""),
        ("labels;softmax", "nothing can follow", ""),
        ("x" * 20_000, "more than", ""),
    ],
)
def test_text_that_can_not_be_read_says_where_and_how_to_go_on(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_steps(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", [LONG, "resize:8,9,nearest;scale:1e-05", "channels:[2,1,0],axis=1;softmax;labels:3"])
def test_formatted_steps_are_read_back(text: str) -> None:
    steps = parse_steps(text)
    assert parse_steps(format_steps(steps)) == steps


def test_any_text_is_read_or_refused_with_an_error_of_ours() -> None:
    chance = random.Random(0)
    pieces = [*":;,=[]>'\" \n\0", "resize", "cast", "mean", "224", "-1", "1e9", "NHWC", "float32", "\ud800", "9" * 5000]
    for _ in range(500):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 12)))
        try:
            parse_steps(text)
        except UsageError:
            continue
