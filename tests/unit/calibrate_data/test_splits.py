"""Three disjoint splits, decided by what samples contain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgeai_converters.calibrate.dataset import Dataset, open_dataset
from edgeai_converters.calibrate.splits import Split, make_splits
from edgeai_runtime.errors import DataError, UsageError
from edgeai_runtime.manifest import TensorSpec

SaveNpz = Callable[..., str]
Open = Callable[..., Dataset]


@pytest.fixture
def opened(save_npz: SaveNpz, vector_input: list[TensorSpec]) -> Open:
    """Open arrays as a data set."""

    def make(x: np.ndarray, name: str = "data.npz") -> Dataset:
        return open_dataset(save_npz(name, x=x, y=np.arange(len(x)) % 3), inputs=vector_input)

    return make


def draw(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def contents(split: Split) -> set[str]:
    return {split.dataset.sample_hash(index) for index in split.indices}


def test_one_data_set_is_divided_20_30_50_and_every_sample_is_used_once(opened: Open) -> None:
    splits = make_splits(opened(draw(1000)))
    assert [len(splits.calibration), len(splits.search), len(splits.certification)] == [200, 300, 500]
    used = np.concatenate([splits.calibration.indices, splits.search.indices, splits.certification.indices])
    np.testing.assert_array_equal(np.sort(used), np.arange(1000))


def test_what_caps_leave_over_goes_to_certification(opened: Open) -> None:
    splits = make_splits(opened(draw(500)), max_calibration=10, max_search=20)
    assert [len(splits.calibration), len(splits.search), len(splits.certification)] == [10, 20, 470]


def test_the_order_of_the_samples_plays_no_part(opened: Open) -> None:
    x = draw(200)
    one, other = make_splits(opened(x)), make_splits(opened(x[np.random.default_rng(1).permutation(200)], "b.npz"))
    for name in ("calibration", "search", "certification"):
        assert contents(getattr(one, name)) == contents(getattr(other, name))


def test_equal_samples_fall_on_one_side(opened: Open) -> None:
    splits = make_splits(opened(np.repeat(draw(60), 3, axis=0)))
    assert not contents(splits.calibration) & contents(splits.search)
    assert not contents(splits.calibration) & contents(splits.certification)
    assert not contents(splits.search) & contents(splits.certification)
    assert "repeat others" in " ".join(splits.notes)


def test_a_split_gives_its_own_labels_and_batches(opened: Open) -> None:
    x = draw(100)
    search = make_splits(opened(x)).search
    np.testing.assert_array_equal(search.labels, search.indices % 3)
    np.testing.assert_array_equal(np.concatenate([batch["input"] for batch in search.batches(7)]), x[search.indices])


def test_certification_data_of_their_own_are_used_whole(opened: Open) -> None:
    splits = make_splits(opened(draw(100)), certification=opened(draw(50, seed=1), "b.npz"))
    assert [len(splits.calibration), len(splits.search), len(splits.certification)] == [40, 60, 50]


def test_calibration_data_of_their_own_leave_the_data_to_search_and_certification(opened: Open) -> None:
    splits = make_splits(opened(draw(80)), opened(draw(300, seed=1), "b.npz"))
    assert [len(splits.calibration), len(splits.search), len(splits.certification)] == [256, 30, 50]


def test_calibration_and_certification_data_alone_are_enough(opened: Open) -> None:
    splits = make_splits(None, opened(draw(50)), opened(draw(40, seed=1), "b.npz"))
    assert [len(splits.calibration), len(splits.search), len(splits.certification)] == [20, 30, 40]


def test_with_all_three_the_data_serve_the_search(opened: Open) -> None:
    splits = make_splits(opened(draw(30)), opened(draw(20, seed=1), "b.npz"), opened(draw(40, seed=2), "c.npz"))
    assert [len(splits.calibration), len(splits.search), len(splits.certification)] == [20, 30, 40]


def test_samples_of_the_certification_data_are_left_out_of_the_others_with_a_note(opened: Open) -> None:
    test = draw(40, seed=1)
    splits = make_splits(opened(np.concatenate([draw(100), test[:10]])), certification=opened(test, "b.npz"))
    assert len(splits.certification) == 40
    assert len(splits.calibration) + len(splits.search) == 100
    assert not contents(splits.certification) & (contents(splits.calibration) | contents(splits.search))
    assert "left out" in " ".join(splits.notes)


def test_the_same_data_for_calibration_and_certification_are_refused(opened: Open) -> None:
    x = draw(100)
    with pytest.raises(DataError, match="are also in the certification"):
        make_splits(None, opened(x), opened(x, "b.npz"))


def test_too_few_samples_are_refused_with_the_numbers(opened: Open) -> None:
    with pytest.raises(DataError, match=r"too few samples: 2 for calibration .*at least 8"):
        make_splits(opened(draw(10)))


def test_samples_that_are_all_equal_are_refused(opened: Open) -> None:
    with pytest.raises(DataError, match="too few samples"):
        make_splits(opened(np.ones((100, 4), np.float32)))


@pytest.mark.parametrize("given", ["nothing", "calibration", "certification"])
def test_data_that_can_not_fill_three_splits_are_refused(opened: Open, given: str) -> None:
    arguments = {"data": None} | ({} if given == "nothing" else {given: opened(draw(100))})
    with pytest.raises(UsageError, match="Three splits are needed"):
        make_splits(**arguments)  # type: ignore[arg-type]


def test_the_digest_depends_on_the_data_and_the_division(opened: Open) -> None:
    data = opened(draw(200))
    digests = {
        make_splits(data).digest,
        make_splits(data, max_search=20).digest,
        make_splits(opened(draw(200, seed=1), "b.npz")).digest,
    }
    assert len(digests) == 3
    assert make_splits(data).digest in digests
