"""A key pair, a policy that trusts it, and small bundles that no engine can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai.signing import KeyPair, generate_keys, sign_bundle
from edgeai_runtime.bundle import file_entry, write_bundle
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
from edgeai_runtime.trust import Trust

MODEL = "variants/a/model.tflite"


def write(path: Path, *, version: str = "1.2", as_folder: bool = False) -> Path:
    """Write a small unsigned bundle that no engine can run."""
    content = b"no real model"
    spec = (TensorSpec(name="x", shape=(1, 2), dtype="float32"),)
    entry = file_entry(MODEL, content)
    variant = Variant(
        id="a", format="tflite", precision="float32", delegates=(), files=(entry,), inputs=spec, outputs=spec
    )
    manifest = Manifest(name="pets", version=version, inputs=spec, outputs=spec, variants=(variant,))
    write_bundle(path, manifest, {MODEL: content}, as_folder=as_folder)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return generate_keys(tmp_path_factory.mktemp("keys") / "a.key")


@pytest.fixture(scope="module")
def trust(keys: KeyPair) -> Trust:
    return Trust(keys=keys.public)


@pytest.fixture
def folder(tmp_path: Path, keys: KeyPair) -> Path:
    """A signed bundle as a folder."""
    path = write(tmp_path / "signed", as_folder=True)
    sign_bundle(path, key=keys.private)
    return path
