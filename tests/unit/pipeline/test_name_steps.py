"""Steps given without a name belong to the only tensor; a wrong name is told."""

from __future__ import annotations

import pytest

from edgeai_converters.pipeline import name_steps
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step, TensorSpec

CAST = (Step(op="cast", params={"dtype": "float32"}),)
IMAGE = TensorSpec(name="image", shape=(None, 4), dtype="float32")
MASK = TensorSpec(name="mask", shape=(None, 4), dtype="float32")


def test_steps_without_a_name_belong_to_the_only_input() -> None:
    assert name_steps({"": CAST}, [IMAGE], what="input") == {"image": CAST}


def test_steps_without_a_name_are_refused_for_several_inputs() -> None:
    with pytest.raises(UsageError, match=r"2 inputs.*image, mask"):
        name_steps({"": CAST}, [IMAGE, MASK], what="input")


def test_a_name_that_the_model_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(UsageError, match=r"it has image.*'picture'"):
        name_steps({"picture": CAST}, [IMAGE], what="input")
