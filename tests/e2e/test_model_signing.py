"""The reference package `model-signing` accepts what edgeai signs, and the reverse."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai.signing import generate_keys, sign_bundle
from edgeai_runtime.bundle import file_entry, open_bundle, write_bundle
from edgeai_runtime.manifest import Manifest, TensorSpec, Variant
from edgeai_runtime.trust import Trust

pytest.importorskip("cryptography")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, run_away: Callable[..., str]) -> Callable[..., str]:
    """The command line of `model-signing`, in an environment of its own."""
    folder = tmp_path_factory.mktemp("reference")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-compile")
    try:  # pyOpenSSL: model-signing 1.1.1 imports it and does not name it
        run_away(*pip, "model-signing==1.1.1", "pyOpenSSL", cwd=folder)
    except AssertionError as error:
        if "No matching distribution" in str(error) or "connection" in str(error).lower():
            pytest.skip("model-signing cannot be had here")
        raise
    return lambda *words: run_away(python, "-m", "model_signing", *words, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unsigned bundle as a folder, with names whose order is not that of their letters."""
    content = {
        "variants/a/model.onnx": b"no real model",
        "variants/a.b/model.onnx": b"",
        "variants/a/z.data": b"weights",
    }
    entries = tuple(file_entry(path, data) for path, data in content.items())
    spec = (TensorSpec(name="x", shape=(1, 2), dtype="float32"),)
    variants = tuple(
        Variant(id=name, format="onnx", precision="float32", delegates=(), files=files, inputs=spec, outputs=spec)
        for name, files in (("a", (entries[0], entries[2])), ("a.b", entries[1:2]))
    )
    path = tmp_path / "bundle"
    manifest = Manifest(name="pets", version="1", inputs=spec, outputs=spec, variants=variants)
    write_bundle(path, manifest, content, as_folder=True)
    return path


def test_the_reference_accepts_what_we_sign_and_refuses_what_was_changed(
    tmp_path: Path, folder: Path, reference: Callable[..., str]
) -> None:
    keys = generate_keys(tmp_path / "k.key", algorithm="ecdsa-p256")
    sign_bundle(folder, key=keys.private)
    words = ("verify", "key", folder, "--signature", folder / "signature.json", "--public_key", keys.public)
    assert "succeeded" in reference(*words)
    (folder / "variants/a/z.data").write_bytes(b"WEIGHTS")
    with pytest.raises(AssertionError, match="Signature mismatch"):
        reference(*words)


def test_we_accept_what_the_reference_signs(tmp_path: Path, folder: Path, reference: Callable[..., str]) -> None:
    keys = generate_keys(tmp_path / "k.key", algorithm="ecdsa-p256")
    reference("sign", "key", folder, "--signature", folder / "signature.json", "--private_key", keys.private)
    assert open_bundle(folder, trust=Trust(keys=keys.public)).signed_by == keys.key_id


def test_the_reference_takes_no_ed25519(tmp_path: Path, folder: Path, reference: Callable[..., str]) -> None:
    keys = generate_keys(tmp_path / "k.key")
    sign_bundle(folder, key=keys.private)
    with pytest.raises(AssertionError, match="curve"):
        reference("verify", "key", folder, "--signature", folder / "signature.json", "--public_key", keys.public)
