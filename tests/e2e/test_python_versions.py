"""The device wheel on the oldest and the newest Python and numpy: the same bundle gives the same numbers.

It runs on the fake engine, which is put beside the wheel's own.

An interpreter is looked for in `$EDGEAI_PYTHONS` (paths, separated as in `$PATH`), in `$PATH` and among pyenv's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.engines import fake
from edgeai_runtime.engines.fake import write_fake_model
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, TensorSpec, Tolerance, Variant
from edgeai_runtime.transforms.parse import parse_steps

pytestmark = [pytest.mark.slow]

BEFORE = "cast:float32;resize:height=4,width=4,method=bilinear,layout=NHWC;normalize:mean=[123,116,103],std=[58,57,57]"
MODEL = "variants/only/model.onnx"
TOLERANCE = 1e-6  # float32 of values up to 1
VERSIONS = [("3.10", "numpy==1.23.2"), ("3.13", "numpy"), ("3.14", "numpy")]


def _interpreter(version: str) -> Path:
    listed = [Path(name) for name in os.environ.get("EDGEAI_PYTHONS", "").split(os.pathsep) if name]
    on_path = shutil.which(f"python{version}")
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for python in (
        *listed,
        *([Path(on_path)] if on_path else ()),
        *sorted(root.glob(f"versions/{version}.*/bin/python")),
    ):
        asked = [str(python), "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        if python.is_file() and subprocess.run(asked, capture_output=True, text=True).stdout.strip() == version:
            return python
    pytest.skip(f"there is no Python {version} here; name one in EDGEAI_PYTHONS")


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """Images `[2, 8, 8, 3]`."""
    return np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, samples: np.ndarray) -> Path:
    """A bundle on the fake engine with steps before and after it; its output is three times its prepared input."""
    folder = tmp_path_factory.mktemp("bundle")
    x, y = (TensorSpec(name=name, shape=(None, 4, 4, 3), dtype="float32") for name in "xy")
    model = write_fake_model(
        folder / "model.fake", factor=3, inputs=[{"name": "x", "shape": [None, 4, 4, 3], "dtype": "float32"}]
    )
    steps = {"preprocessing": {"x": parse_steps(BEFORE)}, "postprocessing": {"y": parse_steps("softmax:axis=-1")}}
    variant = Variant(
        id="only",
        format="onnx",
        precision="float32",
        delegates=("fake:cpu",),
        files=(file_entry(MODEL, model),),
        inputs=(x,),
        outputs=(y,),
        tolerance={"y": Tolerance(atol=1e-4, rtol=0.0)},
    )
    manifest = Manifest(name="images", version="1", inputs=(x,), outputs=(y,), variants=(variant,), **steps)
    plain = folder / "plain.edge"
    write_bundle(plain, manifest, {MODEL: model})
    with load(plain) as loaded:
        (answer,) = loaded.run_raw(loaded.preprocess({"x": samples}))
    golden: dict[str, Path | bytes] = {
        "golden/inputs.npz": npz_bytes({"x": samples}),
        "golden/outputs.npz": npz_bytes({f"{key}/y": answer for key in ("source", "only")}),
    }
    entries = tuple(file_entry(name, content) for name, content in golden.items())
    manifest = Manifest(
        name="images", version="1", inputs=(x,), outputs=(y,), variants=(variant,), golden=entries, **steps
    )
    write_bundle(folder / "images.edge", manifest, {MODEL: model, **golden})
    return folder / "images.edge"


@pytest.mark.parametrize(("version", "numpy"), VERSIONS)
def test_a_bundle_gives_the_same_numbers_on_every_python(
    version: str,
    numpy: str,
    bundle: Path,
    samples: np.ndarray,
    device_wheel: Path,
    run_away: Callable[..., str],
    tmp_path: Path,
) -> None:
    run_away(_interpreter(version), "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run_away(*pip, "install", "-qq", "--only-binary", ":all:", device_wheel, numpy, cwd=tmp_path)
    where = run_away(python, "-c", "import edgeai_runtime.engines as it; print(it.__path__[0])", cwd=tmp_path).strip()
    shutil.copy(fake.__file__, where)  # no device has the engine of the tests
    np.save(tmp_path / "x.npy", samples)
    strict = {"PYTHONWARNINGS": "error"}

    words = (python, "-m", "edgeai_runtime")
    ran = json.loads(run_away(*words, "run", bundle, "--input", "x.npy", "--json", cwd=tmp_path, **strict))
    verified = json.loads(run_away(*words, "verify", bundle, "--json", cwd=tmp_path, **strict))
    run_away(*words, "bench", bundle, "--duration", "0.1", "--json", cwd=tmp_path, **strict)

    assert verified["ok"]
    assert "golden only on fake:cpu" in {check["name"] for check in verified["checks"]}
    with load(bundle) as model:
        np.testing.assert_allclose(ran["outputs"]["y"], model(samples), atol=TOLERANCE)
