"""A cache of its own for every test, and bundles whose variants run on the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant

MakeBundle = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Return a function that writes a bundle: per variant a fake model (its JSON keys) and keys of the variant."""

    def make(
        variants: dict[str, dict[str, Any]],
        *,
        delegates: dict[str, tuple[str, ...]] | None = None,
        own: dict[str, dict[str, Any]] | None = None,
        golden: dict[str, dict[str, Any]] | None = None,
        **manifest: Any,
    ) -> Path:
        members: dict[str, Path | bytes] = {}
        entries = []
        x = TensorSpec(name="x", shape=(None, 2), dtype="float32")
        y = TensorSpec(name="y", shape=(None, 2), dtype="float32")
        for name, document in variants.items():
            inside = f"variants/{name}/model.onnx"
            members[inside] = write_fake_model(tmp_path / f"{name}.fake", **document)
            fields: dict[str, Any] = {
                "id": name,
                "format": "onnx",
                "precision": "float32",
                "delegates": (delegates or {}).get(name, ("fake:cpu",)),
                "files": (file_entry(inside, members[inside]),),
                "inputs": (x,),
                "outputs": (y,),
            }
            entries.append(Variant(**{**fields, **(own or {}).get(name, {})}))
        for path_inside, arrays in (golden or {}).items():
            members[path_inside] = npz_bytes(arrays)
        files = tuple(file_entry(name, members[name]) for name in golden or ())
        fields = {
            "golden": files,
            "name": "net",
            "version": "1",
            "inputs": (x,),
            "outputs": (y,),
            "variants": tuple(entries),
        }
        path = tmp_path / "net.edge"
        write_bundle(path, Manifest(**{**fields, **manifest}), members, force=True)
        return path

    return make
