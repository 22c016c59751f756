"""The device wheel on arm64, in user-mode emulation: one bundle gives the same answers there as here."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.bundle import file_entry, npz_bytes, write_bundle
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, Tolerance, Variant

pytestmark = [pytest.mark.slow, pytest.mark.litert, pytest.mark.assets]

ROOT = Path(__file__).resolve().parents[2]
IMAGES = "mlperf_tiny/image_classification"
MODELS = {"float32": "pretrainedResnet.tflite", "int8": "pretrainedResnet_quant.tflite"}

#: A step of the int8 output.
STEP = 1 / 256

#: Float kernels add in another order, and the softmax keeps that small. Int8 kernels round differently on each
#: processor: 12 steps were seen between kernels on x86 alone.
TOLERANCES = {"float32": 1e-5, "int8": 16 * STEP}

PROGRAM = """
import json, platform, sys
import numpy as np
import edgeai_runtime as rt

answers, used = {}, {}
for variant in ("float32", "int8"):
    with rt.load(sys.argv[1], variant=variant, threads=1) as model:
        answers[variant] = model(np.load(sys.argv[2]))
        used[variant] = model.placement.delegate
np.savez(sys.argv[3], **answers)
print(json.dumps({"machine": platform.machine(), "used": used}))
"""


@pytest.fixture(scope="module")
def images() -> Any:
    """Sixteen smooth images, [16, 32, 32, 3] float32 of whole numbers."""
    coarse = np.random.default_rng(0).integers(0, 256, size=(16, 4, 4, 3))
    return np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(assets: Path, images: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float and an int8 variant of one network, with the answers of this machine as golden outputs."""
    pytest.importorskip("ai_edge_litert")
    variants, members, golden = [], {}, {"golden/inputs.npz": npz_bytes({"image": images[:8]})}
    outputs: dict[str, Any] = {}
    for precision, name in MODELS.items():
        path = f"variants/{precision}/model.tflite"
        members[path] = assets / IMAGES / name
        session = get_engine("litert").open(members[path], delegate="litert:xnnpack", threads=1, options={})
        if precision == "float32":
            boundary = [
                type(spec)(name=title, shape=spec.shape, dtype="float32")
                for title, spec in (("image", session.inputs[0]), ("class", session.outputs[0]))
            ]
            outputs["source/class"] = session.run([images[:8]])[0]
            outputs["float32/class"] = outputs["source/class"]
        else:
            raw = session.run([(images[:8] - 128).astype(np.int8)])[0]
            outputs["int8/class"] = ((raw.astype(np.float32) + 128) * STEP).astype(np.float32)
        variants.append(
            Variant(
                id=precision,
                format="tflite",
                precision=precision,  # type: ignore[arg-type]
                delegates=("litert:xnnpack",),
                files=(file_entry(path, members[path]),),
                inputs=session.inputs,
                outputs=session.outputs,
                tolerance={"class": Tolerance(atol=TOLERANCES[precision], rtol=0)},
            )
        )
    golden["golden/outputs.npz"] = npz_bytes(outputs)
    manifest = Manifest(
        name="resnet8",
        version="1",
        inputs=(boundary[0],),
        outputs=(boundary[1],),
        variants=tuple(variants),
        golden=tuple(file_entry(path, content) for path, content in golden.items()),
    )
    path = tmp_path_factory.mktemp("bundle") / "resnet8.edge"
    write_bundle(path, manifest, {**members, **golden})
    return path


@pytest.fixture(scope="module")
def arm64(device_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arm64 Python with numpy, LiteRT and the device wheel."""
    folder = tmp_path_factory.mktemp("arm64")
    command = ["sh", ROOT / ".ci" / "arm64.sh", folder, sys.executable, device_wheel]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=900)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "python"


def test_arm64_gives_the_answers_of_this_machine(
    arm64: Path, bundle: Path, images: Any, tmp_path: Path, run_away: Callable[..., str]
) -> None:
    np.save(tmp_path / "images.npy", images)
    told = run_away(arm64, "-c", PROGRAM, bundle, tmp_path / "images.npy", tmp_path / "there.npz", cwd=tmp_path)
    assert json.loads(told.splitlines()[-1]) == {
        "machine": "aarch64",
        "used": {"float32": "litert:xnnpack", "int8": "litert:xnnpack"},
    }
    assert platform.machine() != "aarch64", "this is arm64 already: nothing was compared"

    here = {}
    for variant in MODELS:
        with load(bundle, variant=variant, threads=1) as model:
            here[variant] = model(images)
    with np.load(tmp_path / "there.npz") as there:
        for variant in MODELS:
            np.testing.assert_allclose(there[variant], here[variant], rtol=0, atol=TOLERANCES[variant])
            np.testing.assert_array_equal(there[variant].argmax(axis=1), here[variant].argmax(axis=1))
    assert len(set(here["float32"].argmax(axis=1))) > 1, "the images do not tell classes apart"


def test_arm64_verifies_the_bundle(arm64: Path, bundle: Path, tmp_path: Path, run_away: Callable[..., str]) -> None:
    told = json.loads(run_away(arm64, "-m", "edgeai_runtime", "verify", bundle, "--json", cwd=tmp_path))

    assert told["ok"]
    golden = [check["name"] for check in told["checks"] if check["name"].startswith("golden ")]
    assert golden == ["golden float32 on litert:xnnpack", "golden int8 on litert:xnnpack"]
