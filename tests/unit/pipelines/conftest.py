"""Bundles on the fake engine, whose output `y` is its input `x` times a factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.manifest import Manifest, Step, TensorSpec, Variant

MakeStage = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_stage(tmp_path: Path) -> MakeStage:
    """Return a function that writes a bundle `<name>.edge`; more keys are those of the manifest."""

    def make(
        name: str,
        factor: float = 1,
        *,
        shape: Sequence[int | None] = (None, 2),
        before: Sequence[Step] = (),
        after: Sequence[Step] = (),
        names: tuple[str, str] = ("x", "y"),
        golden: Mapping[str, Any] | None = None,
        assets: Mapping[str, bytes] | None = None,
        **manifest: Any,
    ) -> Path:
        x, y = (TensorSpec(name=each, shape=tuple(shape), dtype="float32") for each in names)
        own = TensorSpec(name="x", shape=tuple(shape), dtype="float32")
        model = write_fake_model(
            tmp_path / f"{name}.fake", factor=factor, inputs=[{"name": "x", "shape": list(shape), "dtype": "float32"}]
        )
        members: dict[str, Path | bytes] = {"variants/only/model.onnx": model}
        variant = Variant(
            id="only",
            format="onnx",
            precision="float32",
            delegates=("fake:cpu",),
            files=(file_entry("variants/only/model.onnx", model),),
            inputs=(own,),
            outputs=(TensorSpec(name="y", shape=tuple(shape), dtype="float32"),),
        )
        for path, arrays in (golden or {}).items():
            members[path] = npz_bytes(arrays)
        recorded = tuple(file_entry(path, members[path]) for path in golden or ())
        members |= {f"assets/{asset}": content for asset, content in (assets or {}).items()}
        fields: dict[str, Any] = {
            "name": name,
            "version": "1",
            "inputs": (x,),
            "outputs": (y,),
            "variants": (variant,),
            "preprocessing": {names[0]: tuple(before)} if before else {},
            "postprocessing": {names[1]: tuple(after)} if after else {},
            "golden": recorded,
            "assets": {asset: file_entry(f"assets/{asset}", content) for asset, content in (assets or {}).items()},
        }
        target = tmp_path / f"{name}.edge"
        write_bundle(target, Manifest(**{**fields, **manifest}), members)
        return target

    return make
