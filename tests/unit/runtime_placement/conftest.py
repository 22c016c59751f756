"""Bundles whose variants run on the fake engine, with golden samples that are twice the input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.manifest import Manifest, TensorSpec, Tolerance, Variant

MakeFake = Callable[..., Path]
X = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("EDGEAI_CACHE", str(folder))
    return folder


@pytest.fixture
def make_fake(tmp_path: Path) -> MakeFake:
    """Return a function that writes a bundle with one variant `net` (y = 2x) and returns its path.

    Its golden outputs were recorded on the first of `delegates`; `document` are the keys of the fake model.
    """

    def make(
        *, delegates: tuple[str, ...] = ("fake:cpu", "fake:npu"), golden: bool = True, own: Any = None, **document: Any
    ) -> Path:
        inside = "variants/net/model.onnx"
        members: dict[str, Path | bytes] = {
            inside: write_fake_model(tmp_path / "net.fake", **{"factor": 2, **document})
        }
        if golden:
            members["golden/inputs.npz"] = npz_bytes({"x": X})
            members["golden/outputs.npz"] = npz_bytes({"source/y": 2 * X, "net/y": 2 * X})
        tensors = {name: TensorSpec(name=name, shape=(None, 2), dtype="float32") for name in "xy"}
        fields: dict[str, Any] = {
            "id": "net",
            "format": "onnx",
            "precision": "float32",
            "delegates": delegates,
            "files": (file_entry(inside, members[inside]),),
            "inputs": (tensors["x"],),
            "outputs": (tensors["y"],),
            "tolerance": {"y": Tolerance(atol=0.001, rtol=0.0)},
        }
        manifest = Manifest(
            name="net",
            version="1",
            inputs=(tensors["x"],),
            outputs=(tensors["y"],),
            variants=(Variant(**{**fields, **(own or {})}),),
            golden=tuple(file_entry(name, members[name]) for name in members if name.startswith("golden/")),
        )
        path = tmp_path / "net.edge"
        write_bundle(path, manifest, members, force=True)
        return path

    return make
