"""The main job on the example: source and data in; a measured, certified bundle out, which the runtime runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeai
import edgeai_runtime
from edgeai.result import CompressResult
from edgeai_runtime.errors import DataError, ModelError, OutputError, UsageError

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
DATA = str(EXAMPLE / "digits.npz")
STEPS = "scale:factor=0.0625"  # pixels 0 to 16 → 0 to 1, as the network was trained
CANDIDATE_KEYS = {
    "id", "format", "precision", "recipe", "size_bytes", "latency_ms", "speedup_vs_float", "metric", "source_score",
    "score", "drop", "drop_ci95", "flip_rate", "n", "verdict", "status", "reason",
}  # fmt: skip


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def result(work: Path) -> CompressResult:
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("openvino")
    return edgeai.compress(EXAMPLE / "digits.onnx", data=DATA, max_drop=0.01, preprocess=STEPS, work=work)


@pytest.fixture(scope="session")
def bundle(result: CompressResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("bundle") / "digits.edge")


def test_every_format_gets_every_precision_measured_in_its_engine(result: CompressResult) -> None:
    tried = {(one.recipe.format, one.recipe.precision) for one in result.candidates if one.measurement}
    assert tried == {
        (format, precision)
        for format in ("tflite", "onnx", "openvino")
        for precision in ("float32", "float16", "dynamic_int8", "int8")
    }


def test_every_candidate_has_the_documented_keys(result: CompressResult) -> None:
    document = result.to_json()
    assert {"source", "bundle", "best", "candidates", "pareto", "binding_limit"} <= set(document)
    for candidate in document["candidates"]:
        assert set(candidate) >= CANDIDATE_KEYS


def test_the_best_candidate_is_within_the_budget_and_certified(result: CompressResult) -> None:
    assert result.best is not None
    assert result.best.certificate is not None
    assert result.best.status == "accepted"
    assert result.best.certificate.verdict == "certified"
    assert result.best.certificate.drop_ci95[1] <= 0.01
    assert result.best.certificate.split == "certification"


def test_no_accepted_candidate_is_slower_than_its_float(result: CompressResult) -> None:
    speeds = [
        one.measurement.speedup_ci95[1] for one in result.candidates if one.status == "accepted" and one.measurement
    ]
    assert min(speeds) > 0.97


def test_an_int8_artifact_is_less_than_half_the_size_of_float(result: CompressResult) -> None:
    sizes = {f"{one.recipe.format}-{one.recipe.precision}": one.size_bytes for one in result.candidates}
    for format in ("tflite", "onnx", "openvino"):
        assert sizes[f"{format}-int8"] * 2 < sizes[f"{format}-float32"]  # type: ignore[operator]


def test_the_runtime_loads_the_bundle_and_answers_as_the_certificate_says(bundle: Path) -> None:
    with np.load(EXAMPLE / "digits.npz") as data:
        x, y = data["x"][:200], data["y"][:200]
    model = edgeai_runtime.load(bundle)
    outputs = np.concatenate([np.asarray(model(x[i : i + 1])) for i in range(len(x))])
    assert (outputs.argmax(-1) == y).mean() > 0.93
    assert model.placement.shares()["cpu"] == 1.0


def test_every_variant_of_the_bundle_repeats_its_golden_outputs(bundle: Path) -> None:
    opened = edgeai_runtime.open_bundle(bundle)
    inputs = opened.golden_inputs()
    for variant in opened.manifest.variants:
        model = edgeai_runtime.load(bundle, variant=variant.id)
        (name, expected), *_ = opened.golden_outputs(variant.id).items()
        batch = next(iter(inputs.values()))
        got = np.concatenate([np.asarray(model(batch[i : i + 1])) for i in range(len(batch))])
        assert np.abs(got - expected).max() <= variant.tolerance[name].atol


def test_the_same_call_again_reuses_every_step(result: CompressResult, work: Path) -> None:
    again = edgeai.compress(EXAMPLE / "digits.onnx", data=DATA, max_drop=0.01, preprocess=STEPS, work=work)
    assert again.best is not None
    assert result.best is not None
    assert again.best.to_json() == result.best.to_json()
    assert again.to_json()["resumed_steps"] > len(result.candidates)


def test_an_impossible_size_returns_the_nearest_candidate_and_the_binding_limit(work: Path, tmp_path: Path) -> None:
    found = edgeai.compress(
        EXAMPLE / "digits.onnx", data=DATA, max_size=1000, preprocess=STEPS, work=work, formats=["onnx"]
    )
    assert not found.within_budget
    assert found.binding_limit == "max_size"
    assert found.best is not None
    assert found.best.size_bytes == min(one.size_bytes for one in found.candidates if one.size_bytes)
    assert found.save(tmp_path / "nearest.edge").is_file()


def test_without_data_only_recipes_that_need_none_are_tried_and_nothing_is_certified(work: Path) -> None:
    found = edgeai.compress(EXAMPLE / "digits.onnx", work=work, formats=["onnx"])
    assert {one.recipe.precision for one in found.candidates} == {"float32", "float16", "dynamic_int8"}
    assert {one.certificate for one in found.candidates} == {None}


def test_arrays_serve_as_data(work: Path) -> None:
    with np.load(EXAMPLE / "digits.npz") as data:
        arrays = {"x": data["x"][:300], "y": data["y"][:300]}
    found = edgeai.compress(
        EXAMPLE / "digits.onnx",
        arrays,
        work=work,
        formats=["onnx"],
        precisions=["int8"],
        max_drop=0.05,
        preprocess=STEPS,
    )
    assert found.best is not None
    assert found.best.certificate is not None
    assert found.best.certificate.source_score > 0.93


def test_samples_on_which_the_source_only_guesses_are_pointed_out(work: Path) -> None:
    found = edgeai.compress(EXAMPLE / "digits.onnx", DATA, work=work, formats=["onnx"], precisions=["float32"])
    assert any("guessing among 10 classes" in note for note in found.to_json()["notes"])


def test_a_bundle_is_not_overwritten_unless_forced(result: CompressResult, bundle: Path) -> None:
    before = bundle.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        result.save(bundle)
    assert bundle.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"not a model at all, just text", ""), (None, "truncated|read|parse|protobuf")],
    ids=["empty", "foreign", "truncated"],
)
def test_a_file_that_is_no_model_is_a_clear_error(tmp_path: Path, content: bytes | None, words: str) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes((EXAMPLE / "digits.onnx").read_bytes()[:20000] if content is None else content)
    with pytest.raises(ModelError, match=f"(?i)model.onnx.*{words}|{words}.*model.onnx"):
        edgeai.compress(source, data=DATA, work=tmp_path / "work")


def _spoiled(what: str) -> dict[str, np.ndarray]:
    with np.load(EXAMPLE / "digits.npz") as data:
        x, y = data["x"].astype(np.float32), data["y"].copy()
    if what == "nan":
        x[7, 0, 3, 3] = np.nan
    elif what == "labels":
        y[11] = 10
    elif what == "shape":
        x = x[:, :, :6]
    elif what == "few":
        x, y = x[:20], y[:20]
    return {"x": x, "y": y}


@pytest.mark.parametrize(
    ("what", "words"),
    [("nan", "NaN"), ("labels", "10"), ("shape", "shape"), ("few", "too few samples")],
)
def test_bad_data_is_a_clear_error_before_anything_is_searched(tmp_path: Path, what: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        edgeai.compress(EXAMPLE / "digits.onnx", _spoiled(what), work=tmp_path)


def test_steps_for_an_input_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no input of that name"):
        edgeai.compress(EXAMPLE / "digits.onnx", _spoiled(""), work=tmp_path, preprocess={"picture": "cast:float32"})
