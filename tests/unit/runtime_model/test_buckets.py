"""Padding to a few lengths, where a bundle allows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.delegates.option_names import DIMENSIONS
from edgeai_runtime.delegates.table import DELEGATES, DelegateSpec
from edgeai_runtime.engines.fake import FakeEngine, FakeSession
from edgeai_runtime.errors import BundleError, DataError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import TensorSpec

MakeBundle = Callable[..., Path]
X, Y = (TensorSpec(name=name, shape=(None, None), dtype="float32") for name in ("x", "y"))
SAID = {"axis": 1, "sizes": [8, 4], "pad": 7, "outputs": {"y": 1}}


def _bundle(
    make_bundle: MakeBundle, said: Any, delegates: dict[str, tuple[str, ...]] | None = None, **more: Any
) -> Path:
    tensors = {"inputs": (X,), "outputs": (Y,)}
    document = {"inputs": [{"name": "x", "shape": [None, None], "dtype": "float32"}]}
    metadata = {"buckets": {"x": said, **more}}
    return make_bundle({"net": document}, own={"net": tensors}, delegates=delegates, metadata=metadata, **tensors)


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


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Let `fake:npu` take fixed shapes only, each session those of its options; return what was opened, as it grows."""
    found: list[dict[str, str]] = []
    open_, run = FakeEngine.open, FakeSession.run

    def note(self: FakeEngine, path: Path, *, delegate: str, threads: int, options: Mapping[str, str]) -> FakeSession:
        found.append(dict(options))
        session = open_(self, path, delegate=delegate, threads=threads, options=options)
        monkeypatch.setattr(session, "_document", {**session._document, "length": options.get("dimension.x.1")})
        return session

    def run_fixed(self: FakeSession, arrays: Any) -> Any:
        assert str(arrays[0].shape[1]) == self._document["length"], "fixed shapes"
        return run(self, arrays)

    monkeypatch.setattr(FakeEngine, "open", note)
    monkeypatch.setattr(FakeSession, "run", run_fixed)
    spec = DelegateSpec(
        name="fake:npu",
        engine="fake",
        device="npu",
        verified="none",
        needs="",
        options=DIMENSIONS,
        static_shapes=True,
        formats=("onnx",),
    )
    monkeypatch.setitem(DELEGATES, "fake:npu", spec)
    return found


def test_fixed_shapes_get_a_session_per_size_when_it_comes(
    make_bundle: MakeBundle, opened: list[dict[str, str]]
) -> None:
    path = _bundle(make_bundle, SAID, delegates={"net": ("fake:npu",)})
    with load(path, selfcheck="never") as model:
        assert opened == [{"dimension.x.1": "4"}]
        for length in (3, 7, 2, 8):
            x = np.full((2, length), length, np.float32)
            np.testing.assert_array_equal(model(x), x)
        np.testing.assert_array_equal(model.submit(x).result(30), x)
        assert {one.delegate for one in model.placement.operations} == {"fake:npu"}
    assert opened == [{"dimension.x.1": "4"}, {"dimension.x.1": "8"}]


def test_a_size_follows_the_axis_to_where_the_artifact_has_it(
    make_bundle: MakeBundle, opened: list[dict[str, str]]
) -> None:
    x, own = (
        {"shape": shape, "dtype": "float32", "layout": layout}
        for shape, layout in (((None, 2, None), "NCW"), ((None, None, 2), "NWC"))
    )
    outer, inner = (tuple(TensorSpec(name=name, **one) for name in "xy") for one in (x, own))
    path = make_bundle(
        {"net": {"inputs": [{"name": "x", "shape": [None, None, 2]}]}},
        own={"net": {"inputs": inner[:1], "outputs": inner[1:]}},
        delegates={"net": ("fake:npu",)},
        metadata={"buckets": {"x": {"axis": 2, "sizes": [4, 8], "outputs": {"y": 2}}}},
        inputs=outer[:1],
        outputs=outer[1:],
    )
    with load(path, selfcheck="never") as model:
        assert model(np.ones((1, 2, 5), np.float32)).shape == (1, 2, 5)
    assert opened == [{"dimension.x.1": "4"}, {"dimension.x.1": "8"}]
