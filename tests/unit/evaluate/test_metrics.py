"""Each metric scores what its name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeai_converters.evaluate.metrics import drop_between, get_metric, metric_for_outputs
from edgeai_converters.evaluate.metrics_outputs import classes_of_output
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec


def one_hot(classes: list[int], n_classes: int = 10) -> dict[str, np.ndarray]:
    return {"out": np.eye(n_classes, dtype=np.float32)[classes]}


def test_labels_choose_top1_and_their_absence_agreement() -> None:
    assert get_metric(None, has_labels=True).name == "top1"
    assert get_metric(None, has_labels=False).name == "agreement"


def test_an_unknown_metric_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="'top_1'") as caught:
        get_metric("top_1", has_labels=True)
    assert "top1" in caught.value.hint


@pytest.mark.parametrize("name", ["top1", "top5", "auc", "mae", "rmse"])
def test_a_metric_that_needs_labels_is_refused_without(name: str) -> None:
    with pytest.raises(UsageError, match="needs labels"):
        get_metric(name, has_labels=False)


def test_top1_counts_the_right_predictions() -> None:
    metric = get_metric("top1", has_labels=True)
    outputs, labels = one_hot([0, 1, 2, 3]), np.array([0, 1, 2, 4])
    assert metric.score(outputs, labels, None) == 0.75
    np.testing.assert_array_equal(metric.per_sample(outputs, labels, None), [1, 1, 1, 0])


@pytest.mark.parametrize("shape", [(4, 10), (4, 10, 1, 1), (4, 1, 1, 10)])
def test_top1_reads_class_scores_with_axes_of_length_one(shape: tuple[int, ...]) -> None:
    outputs = {"out": one_hot([0, 1, 2, 3])["out"].reshape(shape)}
    assert get_metric("top1", has_labels=True).score(outputs, np.array([0, 1, 2, 4]), None) == 0.75


@pytest.mark.parametrize(
    "scores", [np.array([[0.1], [0.9], [0.6]]), np.array([0.1, 0.9, 0.6]), np.array([[-3.0], [2.0], [0.2]])]
)
def test_one_column_is_a_probability_or_a_logit_of_two_classes(scores: np.ndarray) -> None:
    assert get_metric("top1", has_labels=True).score({"out": scores}, np.array([0, 1, 1]), None) == 1


def test_top1_of_a_map_of_pixels_is_refused() -> None:
    with pytest.raises(DataError, match=r"shape \[2, 4, 4, 3\]"):
        get_metric("top1", has_labels=True).score({"out": np.zeros((2, 4, 4, 3))}, np.zeros(2, int), None)


def test_labels_out_of_the_models_classes_are_refused() -> None:
    with pytest.raises(DataError, match="10 classes"):
        get_metric("top1", has_labels=True).score(one_hot([0, 1]), np.array([0, 10]), None)


def test_top5_counts_labels_among_the_five_best_and_breaks_ties_by_the_first_class() -> None:
    metric = get_metric("top5", has_labels=True)
    ranked = np.arange(10, 0, -1, dtype=np.float32)
    outputs = {"out": np.stack([ranked, ranked, np.ones(10, np.float32), np.ones(10, np.float32)])}
    np.testing.assert_array_equal(metric.per_sample(outputs, np.array([4, 5, 4, 5]), None), [1, 0, 1, 0])


def test_top5_of_five_classes_says_that_it_would_always_be_one() -> None:
    with pytest.raises(DataError, match="more than 5 classes"):
        get_metric("top5", has_labels=True).score(one_hot([0, 1], 5), np.array([0, 1]), None)


def test_agreement_compares_predictions_with_the_sources() -> None:
    metric = get_metric("agreement", has_labels=False)
    assert metric.score(one_hot([0, 1, 2, 3]), None, one_hot([0, 1, 2, 9])) == 0.75


@pytest.mark.parametrize(("shape", "name"), [((3, 8), "agreement"), ((3, 1), "cosine"), ((3, 8, 8, 2), "cosine")])
def test_agreement_becomes_cosine_where_outputs_are_no_class_scores(shape: tuple[int, ...], name: str) -> None:
    metric = get_metric(None, has_labels=False)
    assert metric_for_outputs(metric, {"out": np.zeros(shape)}).name == name


@pytest.mark.parametrize("n_classes", [1, 2, 4])
def test_auc_agrees_with_scikit_learn_with_ties(n_classes: int) -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(5)
    labels = random.integers(0, max(n_classes, 2), size=200)
    scores = np.round(random.normal(size=(200, n_classes)) + (labels[:, None] == np.arange(n_classes)), 1)
    ours = get_metric("auc", has_labels=True).score({"out": scores}, labels, None)
    if n_classes <= 2:
        column = scores[:, 0] if n_classes == 1 else scores[:, 1] - scores[:, 0]
        expected = sklearn_metrics.roc_auc_score(labels, column)
    else:
        expected = np.mean([sklearn_metrics.roc_auc_score(labels == k, scores[:, k]) for k in range(n_classes)])
    assert ours == pytest.approx(expected, abs=1e-12)


def test_auc_of_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="two classes; all labels are 1"):
        get_metric("auc", has_labels=True).score({"out": np.zeros((5, 2))}, np.ones(5, int), None)


def test_weights_score_like_repeated_samples() -> None:
    random = np.random.default_rng(5)
    scores, labels = random.normal(size=(60, 3)), random.integers(0, 3, size=60)
    targets = random.normal(size=60)
    drawn = random.integers(0, 60, size=60)
    weights = np.bincount(drawn, minlength=60)[None].astype(float)
    for name, outputs, truth in (
        ("auc", scores, labels),
        ("top1", scores, labels),
        ("mae", scores[:, 0], targets),
        ("rmse", scores[:, 0], targets),
    ):
        metric = get_metric(name, has_labels=True)
        repeated = metric.score({"out": outputs[drawn]}, truth[drawn], None)
        assert metric.weighted({"out": outputs}, truth, None)(weights)[0] == pytest.approx(repeated, abs=1e-12), name


def test_errors_are_in_the_units_of_the_labels_and_drops_in_their_standard_deviation() -> None:
    labels = np.array([0.0, 10.0, 20.0, 30.0])
    outputs = {"out": labels[:, None] + np.array([[1.0], [-1.0], [3.0], [3.0]])}
    assert get_metric("mae", has_labels=True).score(outputs, labels, None) == 2
    rmse = get_metric("rmse", has_labels=True)
    assert rmse.score(outputs, labels, None) == pytest.approx(5**0.5)
    assert rmse.drop_unit(labels) == pytest.approx(labels.std())
    assert drop_between(rmse, 1.0, 1.0 + labels.std() / 100, rmse.drop_unit(labels)) == pytest.approx(0.01)


def test_an_error_against_class_indices_is_refused() -> None:
    with pytest.raises(DataError, match=r"outputs have shape \[4, 10\], the labels \[4\]"):
        get_metric("mae", has_labels=True).score(one_hot([0, 1, 2, 3]), np.arange(4.0), None)


def test_labels_that_are_all_equal_give_no_unit_of_drop() -> None:
    with pytest.raises(DataError, match="All labels are equal"):
        get_metric("mae", has_labels=True).drop_unit(np.ones(4))


def test_cosine_takes_the_worst_output_of_each_sample() -> None:
    source = {"a": np.array([[1.0, 0.0], [1.0, 0.0]]), "b": np.array([[0.0, 2.0], [0.0, 0.0]])}
    variant = {"a": np.array([[2.0, 0.0], [1.0, 1.0]]), "b": np.array([[0.0, 1.0], [0.0, 0.0]])}
    scores = get_metric("cosine", has_labels=False).per_sample(variant, None, source)
    assert scores is not None
    np.testing.assert_allclose(scores, [1, 0.5**0.5])


def test_cosine_of_a_vanished_output_is_zero() -> None:
    metric = get_metric("cosine", has_labels=False)
    assert metric.score({"a": np.zeros((2, 3))}, None, {"a": np.ones((2, 3))}) == 0


@pytest.fixture
def functions(tmp_path: Path) -> str:
    (tmp_path / "my_metrics.py").write_text(
        "import numpy as np\n"
        "def near(outputs, labels): return (abs(outputs[:, 0] - labels) < 1).astype(float)\n"
        "def total(outputs, labels): return 3.0\n"
        "def keys(outputs, labels): return np.full(len(outputs['a']), len(outputs))\n"
        "def broken(outputs, labels): return 1 / 0\n"
    )
    return str(tmp_path / "my_metrics.py")


def test_a_users_function_scores_each_sample(functions: str) -> None:
    metric = get_metric(f"{functions}:near", has_labels=True)
    assert metric.score({"out": np.array([[0.0], [5.0]])}, np.array([0.5, 9.0]), None) == 0.5


def test_a_users_function_gets_a_dict_of_several_outputs(functions: str) -> None:
    metric = get_metric(f"{functions}:keys", has_labels=False)
    assert metric.score({"a": np.zeros((3, 1)), "b": np.zeros((3, 1))}, None, None) == 2


@pytest.mark.parametrize(("name", "words"), [("total", "2 scores, one per sample"), ("broken", "ZeroDivisionError")])
def test_a_users_function_that_fails_is_reported(functions: str, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        get_metric(f"{functions}:{name}", has_labels=True).score({"out": np.zeros((2, 1))}, np.zeros(2), None)


@pytest.mark.parametrize(
    ("shape", "classes"), [((None, 10), 10), ((1, 1000, 1, 1), 1000), ((1, 1), 2), ((None,), 2), ((1, 8, 8, 3), None)]
)
def test_the_number_of_classes_is_read_from_an_outputs_shape(
    shape: tuple[int | None, ...], classes: int | None
) -> None:
    assert classes_of_output(TensorSpec(name="out", shape=shape, dtype="float32")) == classes
