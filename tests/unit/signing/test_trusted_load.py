"""Policies where models are loaded and run: bundles, pipelines, children, the device's command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai.signing import KeyPair, generate_keys, sign_bundle
from edgeai_converters.pipeline_writer import write_pipeline
from edgeai_runtime.__main__ import main
from edgeai_runtime.bundle import file_entry, npz_bytes, open_bundle, write_bundle
from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.errors import IntegrityError, SignatureError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, TensorSpec, Tolerance, Variant
from edgeai_runtime.trust import KEYS_VARIABLE, Trust

pytest.importorskip("cryptography")

MODEL = "variants/only/model.onnx"
X = np.ones((1, 2), np.float32)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    return generate_keys(tmp_path / "a.key")


def write(path: Path, *, factor: float = 3, as_folder: bool = False) -> Path:
    """Write a bundle on the fake engine, with golden samples; its output is its input times `factor`."""
    x, y = (TensorSpec(name=name, shape=(None, 2), dtype="float32") for name in "xy")
    inputs = [{"name": "x", "shape": [None, 2], "dtype": "float32"}]
    samples = np.ones((8, 2), np.float32)
    members: dict[str, Path | bytes] = {
        MODEL: write_fake_model(path.with_suffix(".fake"), factor=factor, inputs=inputs),
        "golden/inputs.npz": npz_bytes({"x": samples}),
        "golden/outputs.npz": npz_bytes({f"{key}/y": samples * factor for key in ("source", "only")}),
    }
    entries = {name: file_entry(name, content) for name, content in members.items()}
    variant = Variant(
        id="only",
        format="onnx",
        precision="float32",
        delegates=("fake:cpu",),
        files=(entries[MODEL],),
        inputs=(x,),
        outputs=(y,),
        tolerance={"y": Tolerance(atol=1e-5, rtol=0.0)},
    )
    golden = (entries["golden/inputs.npz"], entries["golden/outputs.npz"])
    manifest = Manifest(name=path.stem, version="1", inputs=(x,), outputs=(y,), variants=(variant,), golden=golden)
    write_bundle(path, manifest, members, as_folder=as_folder)
    return path


def test_a_signed_bundle_is_loaded_and_self_checked(tmp_path: Path, keys: KeyPair) -> None:
    path = write(tmp_path / "a.edge")
    sign_bundle(path, key=keys.private)
    with load(path, trust=Trust(keys=keys.public), selfcheck="always") as model:
        assert np.array_equal(model(X), 3 * X)


def test_an_unsigned_bundle_that_is_allowed_is_tried_in_a_child_first(
    tmp_path: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []
    monkeypatch.setattr("edgeai_runtime.isolation.check_in_child", lambda path, **_: tried.append(path))
    path = write(tmp_path / "a.edge")
    with load(path), load(path, trust=Trust(minimum_version="1")):
        assert tried == []
    with load(path, trust=Trust(keys=keys.public, require_signature=False)):
        assert [one.name for one in tried] == ["model.onnx"]
    sign_bundle(path, key=keys.private)
    with load(path, trust=Trust(keys=keys.public, require_signature=False)):
        assert len(tried) == 1


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_signed_pipeline_is_trusted_with_its_stages(
    tmp_path: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch, as_folder: bool
) -> None:
    stages = {name: write(tmp_path / f"{name}.edge", factor=factor) for name, factor in (("one", 2), ("two", 4))}
    path = tmp_path / "both"
    write_pipeline(path, stages, kind="ensemble", as_folder=as_folder)
    monkeypatch.setenv(KEYS_VARIABLE, str(keys.public))
    with pytest.raises(SignatureError, match="is not signed"):
        load(path)
    sign_bundle(path, key=keys.private)
    with load(path, selfcheck="always") as model:
        assert np.array_equal(model(X), 3 * X)


def test_an_unsigned_pipeline_that_is_allowed_is_tried_stage_by_stage(
    tmp_path: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {name: write(tmp_path / f"{name}.edge") for name in ("one", "two")}
    write_pipeline(tmp_path / "both.edge", stages, kind="ensemble")
    tried: list[Path] = []
    monkeypatch.setattr("edgeai_runtime.isolation.check_in_child", lambda path, **_: tried.append(path))
    with load(tmp_path / "both.edge", trust=Trust(keys=keys.public, require_signature=False)):
        assert len(tried) == 2


def test_a_child_opens_no_other_content_than_its_parent_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeai_runtime.autotune_child import measure
    from edgeai_runtime.first_use import run_golden

    path = write(tmp_path / "a.edge")
    digest = open_bundle(path).digest
    path.unlink()
    write(path, factor=5)
    request: dict[str, Any] = {"path": str(path), "digest": digest, "variant": "only", "delegate": "fake:cpu"}
    request |= {"options": {}, "threads": 1, "entries": [], "budget_s": 1.0}
    for work in (run_golden, measure):
        with pytest.raises(IntegrityError, match="changed after it was checked"):
            work(request)


@pytest.mark.parametrize("verb", ["verify", "warm", "run", "bench"])
def test_no_verb_of_the_device_runs_what_the_environment_does_not_trust(
    tmp_path: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    started: list[str] = []
    monkeypatch.setattr("edgeai_runtime.engines.fake.FakeEngine.open", lambda *_, **__: started.append("opened"))
    monkeypatch.setattr("edgeai_runtime.isolation.call_in_child", lambda *_, **__: started.append("child"))
    monkeypatch.setenv(KEYS_VARIABLE, os.pathsep.join([str(keys.public)]))
    np.save(tmp_path / "x.npy", X)
    words = {"run": ["--input", str(tmp_path / "x.npy")]}.get(verb, [])
    assert main([verb, str(write(tmp_path / "a.edge")), *words]) == 1
    said = capsys.readouterr()
    assert "is not signed" in said.out + said.err
    assert started == []
