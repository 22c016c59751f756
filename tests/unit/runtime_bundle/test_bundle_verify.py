"""Verifying bundles for a report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, verify_bundle, write_bundle
from edgeai_runtime.manifest import Step

MODEL = "variants/small/model.tflite"


def failed(path: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify_bundle(path) if not check.ok}


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_good_bundle_passes_every_check(sample: Any, tmp_path: Path, as_folder: bool) -> None:
    checks = verify_bundle(sample.write(tmp_path / "a.edge", as_folder=as_folder))
    assert [check.name for check in checks] == [
        *("container", "manifest", "members"),
        *(f"sha256 {path}" for path in sample.members),
        *("steps", "golden"),
    ]
    assert all(check.ok for check in checks)


def test_every_bad_member_is_listed(sample: Any, tmp_path: Path) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    (path / MODEL).write_bytes(b"x")
    (path / "labels.txt").unlink()
    (path / "extra").touch()
    assert failed(path).keys() == {"members", f"sha256 {MODEL}", "sha256 labels.txt"}


def test_nothing_is_raised_for_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "a.edge").write_bytes(b"nothing")
    assert failed(tmp_path / "a.edge").keys() == {"container"}
    assert failed(tmp_path / "absent").keys() == {"container"}


def test_a_bad_manifest_ends_the_list(sample: Any, tmp_path: Path) -> None:
    path = sample.write(tmp_path / "folder", as_folder=True)
    (path / "manifest.json").write_text('{"schema": "edgeai.bundle/2"}')
    assert failed(path).keys() == {"manifest"}


def test_an_unknown_step_fails(sample: Any, tmp_path: Path) -> None:
    manifest = dataclasses.replace(sample.manifest, preprocessing={"x": (Step(op="sofmax"),)})
    write_bundle(tmp_path / "a.edge", manifest, sample.members)
    assert "softmax" in failed(tmp_path / "a.edge")["steps"]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"source/p": np.zeros((8, 2))}, "small/p"),
        ({"source/p": np.zeros((8, 2)), "small/p": np.zeros((7, 2))}, "7 samples"),
        ({"source/p": np.zeros((8, 2)), "small/p": np.float32(0)}, "no axis of samples"),
    ],
)
def test_incomplete_recorded_samples_fail(sample: Any, tmp_path: Path, outputs: Any, message: str) -> None:
    name = "golden/outputs.npz"
    content = npz_bytes(outputs)
    golden = (sample.manifest.golden[0], file_entry(name, content))
    manifest = dataclasses.replace(sample.manifest, golden=golden)
    write_bundle(tmp_path / "a.edge", manifest, {**sample.members, name: content})
    assert message in failed(tmp_path / "a.edge")["golden"]
