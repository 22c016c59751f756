"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: a busy one must not fail a test that holds.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

MakeFake = Callable[..., Path]
_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """Let the programs that tests start be interrupted: in the background of a shell that would be ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests away from the user's cache: nothing of an earlier run is found there, nothing is left there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEAI_CACHE", str(tmp_path_factory.mktemp("edgeai-cache")))
        yield


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real models and evaluation data: `$EDGEAI_ASSETS`, else `../shared/assets` beside the checkout."""
    folder = Path(os.environ.get("EDGEAI_ASSETS", _ROOT.parent / "shared" / "assets"))
    if not (folder / "index.json").is_file():
        pytest.skip(f"no real models: {folder} has no index.json; set EDGEAI_ASSETS to a folder that has them")
    return folder


@pytest.fixture
def make_fake(tmp_path: Path) -> MakeFake:
    """Return a function that writes a bundle with one variant `net` (y = 2x) on the fake engine and returns its path.

    Its golden outputs were recorded on the first of `delegates`; `document` are the keys of the fake model.
    """
    import numpy as np

    from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
    from edgeai_runtime.engines.fake import write_fake_model
    from edgeai_runtime.manifest import Manifest, TensorSpec, Tolerance, Variant

    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)

    def make(
        *, delegates: tuple[str, ...] = ("fake:cpu", "fake:npu"), golden: bool = True, own: Any = None, **document: Any
    ) -> Path:
        inside = "variants/net/model.onnx"
        members: dict[str, Path | bytes] = {
            inside: write_fake_model(tmp_path / "net.fake", **{"factor": 2, **document})
        }
        if golden:
            members["golden/inputs.npz"] = npz_bytes({"x": x})
            members["golden/outputs.npz"] = npz_bytes({"source/y": 2 * x, "net/y": 2 * x})
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
