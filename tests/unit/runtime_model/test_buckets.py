"""Padding to a few lengths, where a bundle allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.engines.fake import FakeSession
from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import TensorSpec

MakeBundle = Callable[..., Path]
X, Y = (TensorSpec(name=name, shape=(None, None), dtype="float32") for name in ("x", "y"))
SAID = {"axis": 1, "sizes": [8, 4], "pad": 7, "outputs": {"y": 1}}


def _bundle(make_bundle: MakeBundle, said: Any, **more: Any) -> Path:
    tensors = {"inputs": (X,), "outputs": (Y,)}
    document = {"inputs": [{"name": "x", "shape": [None, None], "dtype": "float32"}]}
    return make_bundle({"net": document}, own={"net": tensors}, metadata={"buckets": {"x": said, **more}}, **tensors)


@pytest.mark.parametrize(("length", "padded"), [(1, 4), (3, 4), (4, 4), (5, 8), (8, 8)])
def test_the_engine_sees_the_next_size_and_the_caller_the_own(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch, length: int, padded: int
) -> None:
    seen: list[Any] = []
    run = FakeSession.run
    monkeypatch.setattr(FakeSession, "run", lambda self, arrays: (seen.append(arrays[0]), run(self, arrays))[1])
    x = np.ones((2, length), np.float32)
    with load(_bundle(make_bundle, SAID)) as model:
        np.testing.assert_array_equal(model(x), x)
        np.testing.assert_array_equal(model.submit(x).result(30), x)
    assert [array.shape for array in seen] == [(2, padded)] * 2
    assert (seen[0][:, length:] == 7).all()


def test_what_is_longer_than_the_last_bucket_is_refused(make_bundle: MakeBundle) -> None:
    with (
        load(_bundle(make_bundle, SAID)) as model,
        pytest.raises(DataError, match=r"'x' is at most 8 long on axis 1. Received: 9"),
    ):
        model(np.ones((1, 9), np.float32))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([4, 8], "axis, sizes, pad and outputs"),
        ({**SAID, "more": 1}, "axis, sizes, pad and outputs"),
        ({**SAID, "axis": 0}, "not the batch"),
        ({**SAID, "axis": 2}, "not the batch"),
        ({**SAID, "sizes": []}, "sizes are lengths"),
        ({**SAID, "sizes": [0]}, "sizes are lengths"),
        ({**SAID, "pad": "0"}, "pad is a number"),
        ({**SAID, "outputs": {"z": 1}}, "outputs are axes"),
    ],
)
def test_buckets_that_make_no_sense_are_the_bundles_fault(make_bundle: MakeBundle, said: Any, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        load(_bundle(make_bundle, said))


def test_buckets_of_an_unknown_input_are_refused(make_bundle: MakeBundle) -> None:
    with pytest.raises(BundleError, match=r"metadata\.buckets of 'z'"):
        load(_bundle(make_bundle, SAID, z=SAID))
