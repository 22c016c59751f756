"""Reduced precision as a real fault: OpenVINO told to compute in bfloat16 fails its self-check and is pinned to f32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai_runtime.__main__ import main
from edgeai_runtime.bench.machine import isa_flags
from edgeai_runtime.bundle import file_entry, npz_bytes, open_bundle, write_bundle
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Manifest, TensorSpec, Tolerance, Variant
from edgeai_runtime.placement import Placement
from edgeai_runtime.verdicts import quarantined

pytest.importorskip("openvino")
pytestmark = [
    pytest.mark.openvino,
    pytest.mark.skipif(
        not {"avx512_bf16", "amx_bf16", "bf16"} & set(isa_flags()), reason="this processor does not compute in bfloat16"
    ),
]

BF16 = Placement(options={"openvino:cpu": {"INFERENCE_PRECISION_HINT": "bf16"}})
UNITS = 64
SAMPLES = np.random.default_rng(1).normal(size=(8, UNITS)).astype(np.float32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here: what one of them found in a child process, the others read."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CACHE", str(cache))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dense layers in float32, with their golden outputs to a ten-thousandth."""
    tmp_path = tmp_path_factory.mktemp("bundle")
    import openvino as ov
    from openvino import opset13 as ops

    generator = np.random.default_rng(0)
    weights = [(generator.normal(size=(UNITS, UNITS)) / 8).astype(np.float32) for _ in range(3)]
    x = ops.parameter([-1, UNITS], np.float32, name="x")
    node, want = x.output(0), SAMPLES
    for weight in weights:
        node = ops.relu(ops.matmul(node, weight, False, False)).output(0)
        want = np.maximum(want @ weight, 0)
    node.set_names({"y"})
    model = ov.Model([node], [x], "net")
    model.inputs[0].set_names({"x"})
    ov.save_model(model, str(tmp_path / "model.xml"), compress_to_fp16=False)
    members: dict[str, Path | bytes] = {
        f"variants/net/model.{end}": tmp_path / f"model.{end}" for end in ("xml", "bin")
    }
    members["golden/inputs.npz"] = npz_bytes({"x": SAMPLES})
    members["golden/outputs.npz"] = npz_bytes({"source/y": want, "net/y": want})
    tensors = [TensorSpec(name=name, shape=(None, UNITS), dtype="float32") for name in "xy"]
    entries = {name: file_entry(name, content) for name, content in members.items()}
    variant = Variant(
        id="net",
        format="openvino",
        precision="float32",
        delegates=("openvino:cpu",),
        files=tuple(entry for name, entry in entries.items() if name.startswith("variants/")),
        inputs=(tensors[0],),
        outputs=(tensors[1],),
        tolerance={"y": Tolerance(atol=1e-4 * float(want.max()), rtol=0.0)},
    )
    manifest = Manifest(
        name="net",
        version="1",
        inputs=(tensors[0],),
        outputs=(tensors[1],),
        variants=(variant,),
        golden=tuple(entry for name, entry in entries.items() if name.startswith("golden/")),
    )
    write_bundle(tmp_path / "net.edge", manifest, members)
    return tmp_path / "net.edge"


def test_bfloat16_unchecked_really_gives_other_numbers(bundle: Path) -> None:
    with load(bundle, selfcheck="never") as model:
        exact = model(SAMPLES)
    with load(bundle, placement=BF16, selfcheck="never") as model:
        assert np.abs(model(SAMPLES) - exact).max() > 1e-3 * exact.max()


def test_bfloat16_fails_its_self_check_and_f32_is_pinned(bundle: Path) -> None:
    with load(bundle, placement=BF16) as model:
        attempts = [(one.delegate, one.outcome, one.remedy) for one in model.placement.attempts]
        assert attempts == [("openvino:cpu", "failed", ""), ("openvino:cpu", "used", "pin f32")]
        (failed, _) = model.placement.attempts
        assert "self-check failed: y differs by at most" in failed.reason
        result = model(SAMPLES)
    with load(bundle) as model:
        np.testing.assert_allclose(result, model(SAMPLES), atol=1e-5)

    assert quarantined(open_bundle(bundle).digest) == []  # the delegate is used, with its remedy


def test_the_command_line_says_which_remedy_was_used(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(bundle.with_name("x.npy"), SAMPLES)
    option = "openvino:cpu.INFERENCE_PRECISION_HINT=bf16"

    assert main(["run", str(bundle), "--input", str(bundle.with_name("x.npy")), "--option", option]) == 0
    out = capsys.readouterr().out
    assert "failed openvino:cpu: self-check failed" in out
    assert "used openvino:cpu with pin f32: self-check passed" in out
