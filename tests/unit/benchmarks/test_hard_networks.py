"""The images, the metric and the rescaling of the hard networks."""

from __future__ import annotations

import numpy as np
import pytest

SAME = 1e-4  # of the largest output: float32 sums over channels of very different scale


def test_the_same_seed_draws_the_same_images_and_the_box_encloses_the_digit() -> None:
    pytest.importorskip("sklearn")
    from hard_networks.images import Scene, draw_images

    scene = Scene(size=32, smallest=14, largest=20, ground=0.0, noise=0.0)
    images, labels = draw_images(scene, 20, seed=3, held_out=True)
    again, _ = draw_images(scene, 20, seed=3, held_out=True)

    assert np.array_equal(images, again)
    for image, (_, left, top, right, bottom) in zip(images, labels.astype(int), strict=True):
        inked = np.abs(image - image[:, :1, :1]).max(axis=0) > 0.01
        outside = inked.copy()
        outside[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2] = False
        assert inked[top:bottom, left:right].mean() > 0.2
        assert outside.sum() <= 0.1 * inked.sum()


def test_training_and_evaluation_share_no_handwriting() -> None:
    pytest.importorskip("sklearn")
    from hard_networks.images import Scene, draw_images

    plain = Scene(ground=0.0, noise=0.0, smallest=20, largest=20)
    seen, _ = draw_images(plain, 5, seed=1, held_out=False)
    unseen, _ = draw_images(plain, 5, seed=1, held_out=True)

    assert not np.array_equal(seen, unseen)


def test_glints_are_far_brighter_than_paper() -> None:
    pytest.importorskip("sklearn")
    from hard_networks.images import Scene, draw_images

    images, _ = draw_images(Scene(glints=1.0), 50, seed=1, held_out=False)

    assert np.median(images) < 1 < 5 < np.median(images.max(axis=(1, 2, 3)))


@pytest.mark.torch
def test_spread_channels_differ_in_scale_and_the_network_computes_the_same() -> None:
    torch = pytest.importorskip("torch")
    from hard_networks.networks import depthwise_network
    from hard_networks.rescale import fold_batch_norm, spread_channels

    network = depthwise_network().eval()
    x = torch.from_numpy(np.random.default_rng(0).random((2, 3, 24, 24), np.float32))
    with torch.no_grad():
        before = network(x).numpy()
        spread = fold_batch_norm(network)
        spread_channels(spread, orders=2.0, seed=1)
        after = spread(x).numpy()
        inner = spread[:2](x).amax(dim=(0, 2, 3)).numpy()

    assert np.abs(after - before).max() <= SAME * np.abs(before).max()
    assert inner.max() / inner[inner > 0].min() > 10


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [([[0.9, 0.1], [0.2, 0.3]], 0.0), ([[0.1, 0.6], [0.9, 0.2]], 0.0), ([[0.1, 0.8], [0, 0]], 0.5)],
)
def test_a_box_counts_by_its_overlap_and_only_with_the_right_class(scores: list[list[float]], wanted: float) -> None:
    from hard_networks.detection_metric import box_quality

    boxes = np.array([[[0.0, 0, 4, 4], [8.0, 8, 9, 9]]])

    found = box_quality({"boxes": boxes, "scores": np.array([scores])}, np.array([[1, 0, 0, 4, 2]]))

    assert found.tolist() == [wanted]
