"""What is said of a bundle whose variants are encrypted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai.checking import check
from edgeai.encrypting import encrypt_bundle
from edgeai.inspection import inspect
from edgeai_runtime.errors import ModelError

pytest.importorskip("cryptography")


@pytest.fixture
def sealed(make_fake: Callable[..., Path], tmp_path: Path) -> Path:
    return encrypt_bundle(make_fake(), key=bytes(32), output=tmp_path / "sealed.edge").bundle


def test_an_encrypted_variant_is_described_by_its_manifest_alone(sealed: Path) -> None:
    (variant,) = inspect(sealed).variants
    assert (variant.format, variant.precision, variant.operators) == ("onnx", "float32", {})
    assert variant.size_bytes > 16
    assert "encrypted" in variant.notes[0]


def test_what_can_not_be_looked_into_is_not_checked_against_a_device(sealed: Path) -> None:
    with pytest.raises(ModelError, match="net is encrypted"):
        check(sealed, device="rpi5")
