"""Gates that are measured: where operations run, and how long a bundle takes next to a release."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from onnx import helper as oh

from edgeai.builder.gate_release import judge_not_slower
from edgeai.builder.gate_result import Gates, TargetResult
from edgeai.builder.gates import judge
from edgeai_runtime.bundle_writer import file_entry, write_bundle
from edgeai_runtime.manifest import Format, Manifest, TensorSpec, Variant

pytestmark = pytest.mark.onnxruntime

SMALL, LARGE = 64, 1024
ROOMY = 0.5
"""A limit that two networks of one size keep on any machine."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of one network: `small`, `again` with other weights of the same size, and `large`."""
    folder = tmp_path_factory.mktemp("releases")
    made = {name: folder / f"{name}.edge" for name in ("small", "again", "large")}
    for seed, (name, path) in enumerate(made.items()):
        width = LARGE if name == "large" else SMALL
        _write_bundle(path, _product(width, seed=seed))
    return made


def _product(width: int, *, seed: int) -> bytes:
    """Return a network that multiplies `[1, 64]` by `width` columns and sums them up: y `[1, 64]`."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(64, width)), rng.normal(size=(width, 64))
    weights = [numpy_helper.from_array(w.astype(np.float32), name) for w, name in ((first, "a"), (second, "b"))]
    nodes = [oh.make_node("MatMul", ["x", "a"], ["h"], "wide"), oh.make_node("MatMul", ["h", "b"], ["y"], "narrow")]
    ends = [oh.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in "xy"]
    graph = oh.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def _write_bundle(path: Path, model: bytes, *, format: Format = "onnx") -> None:
    entry = file_entry(f"variants/only/model.{format}", model)
    x, y = (TensorSpec(name=name, shape=(1, 64), dtype="float32") for name in "xy")
    variant = Variant(
        id=f"{format}-float32",
        format=format,
        precision="float32",
        delegates=("onnxruntime:cpu",),
        files=(entry,),
        inputs=(x,),
        outputs=(y,),
    )
    manifest = Manifest(name="net", version="1", inputs=(x,), outputs=(y,), variants=(variant,))
    write_bundle(path, manifest, {entry.path: model})


def _made(bundle: Path) -> TargetResult:
    return TargetResult(
        model="net",
        target="pc",
        device=None,
        artifacts=(bundle,),
        bundle=bundle,
        candidates=({"id": "onnx-float32", "format": "onnx", "threads": 1},),
        report=bundle,
        document={},
    )


def test_a_bundle_that_takes_longer_than_the_release_breaks_the_gate_when_two_measurements_show_it(
    bundles: dict[str, Path],
) -> None:
    result = judge_not_slower(_made(bundles["large"]), bundles["small"], limit=0.05, durations_s=(0.2, 0.3, 1e9))
    assert not result.ok
    assert isinstance(result.value, float)
    assert result.value > 1.05
    assert "as long as onnx-float32 of small.edge (95 %: " in result.reason


def test_a_bundle_that_takes_less_time_than_the_release_keeps_the_gate(bundles: dict[str, Path]) -> None:
    (result,) = judge(_made(bundles["small"]), Gates(not_slower_than=bundles["large"], slower_limit=0.0))
    assert result.name == "not_slower_than"
    assert result.ok
    assert isinstance(result.value, float)
    assert result.value < 1


def test_within_the_limit_the_first_measurement_is_enough(bundles: dict[str, Path]) -> None:
    made, release = _made(bundles["again"]), bundles["small"]
    result = judge_not_slower(made, release, limit=ROOMY, durations_s=(0.3, 1e9))
    assert result.ok, result.reason
    assert result.limit == str(release)


def test_a_variant_that_is_the_release_s_own_is_not_measured(bundles: dict[str, Path]) -> None:
    result = judge_not_slower(_made(bundles["small"]), bundles["small"], limit=0.0, durations_s=())
    assert (result.ok, result.value) == (True, 1.0)
    assert "is onnx-float32 of small.edge, byte for byte" in result.reason


@pytest.mark.parametrize(
    ("release", "words"),
    [(b"not a bundle", "not measured: "), (None, "other.edge shares no format with the new bundle")],
    ids=["damaged", "another format"],
)
def test_a_release_that_can_not_be_compared_does_not_let_the_gate_hold(
    bundles: dict[str, Path], tmp_path: Path, release: bytes | None, words: str
) -> None:
    path = tmp_path / "other.edge"
    if release is None:
        _write_bundle(path, b"no engine opens this", format="tflite")
    else:
        path.write_bytes(release)
    (result,) = judge(_made(bundles["small"]), Gates(not_slower_than=path))
    assert (result.ok, result.value) == (False, None)
    assert words in result.reason


def test_coverage_is_what_the_engine_tells(bundles: dict[str, Path]) -> None:
    (result,) = judge(_made(bundles["small"]), Gates(coverage=1.0, coverage_device="cpu"))
    assert (result.ok, result.value) == (True, 1.0)
    assert result.reason == "onnx-float32: 100.0% of the operations run on cpu (onnxruntime:cpu), 100.0% are asked for"


def test_coverage_of_a_device_that_is_not_here_is_unknown_and_says_why(bundles: dict[str, Path]) -> None:
    (result,) = judge(_made(bundles["small"]), Gates(coverage=0.1, coverage_device="gpu"))
    assert (result.ok, result.value) == (False, None)
    assert re.fullmatch(
        r"onnx-float32: no operation is known to run on gpu: none of onnxruntime:.* is here; .*", result.reason
    )


def test_coverage_in_a_simulator_is_said_to_be_simulated(
    bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="the extra `emulators` is not installed")
    monkeypatch.setenv("EDGEAI_CACHE", str(tmp_path))
    (result,) = judge(_made(bundles["small"]), Gates(coverage=1.0))
    assert (result.ok, result.value) == (True, 1.0)
    assert "run on npu (onnxruntime:qnn-htp, simulated)" in result.reason
