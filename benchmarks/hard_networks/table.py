"""The hard networks by name: how each is built, trained and kept, and what makes it hard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hard_networks.images import Scene

if TYPE_CHECKING:
    from torch import nn

DETECTOR_SIZE = 64
_FRAME = 2.0
_SPREAD_ORDERS = 2.0
_SPREAD_SEED = 5


@dataclass(frozen=True, kw_only=True)
class Hard:
    """One hard network.

    Attributes:
        title: what it is, in one line.
        trap: what plain int8 quantization does to it, in one line.
        scene: how its images are drawn.
        build: returns the untrained network.
        finish: what is done to it after training; returns the network that is kept.
        detects: whether it finds boxes (two outputs, own metric) and not classes.
        frame: the true boxes are in pixels of a frame this many times as wide as the image.
        training, evaluation: numbers of images.
        epochs, rate: of the training.
    """

    title: str
    trap: str
    scene: Scene
    build: Callable[[], nn.Module]
    finish: Callable[[nn.Module], nn.Module]
    detects: bool = False
    frame: float = 1.0
    training: int = 12000
    evaluation: int = 4000
    epochs: int = 10
    rate: float = 4e-3

    @property
    def metric(self) -> str:
        """The metric, as `edgeai compress --metric` takes it with this folder's parent on the path."""
        return "hard_networks.detection_metric:box_quality" if self.detects else "top1"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return ("boxes", "scores") if self.detects else ("scores",)


def _hard_swish() -> nn.Module:
    from hard_networks.networks import hard_swish_network

    return hard_swish_network()


def _depthwise() -> nn.Module:
    from hard_networks.networks import depthwise_network

    return depthwise_network()


def _spread(network: nn.Module) -> nn.Module:
    from torch import nn

    from hard_networks.rescale import fold_batch_norm, spread_channels

    assert isinstance(network, nn.Sequential)
    folded = fold_batch_norm(network)
    spread_channels(folded, orders=_SPREAD_ORDERS, seed=_SPREAD_SEED)
    return folded


def _detector() -> nn.Module:
    from hard_networks.networks import detector

    return detector(DETECTOR_SIZE, frame=_FRAME)


def _as_it_is(network: nn.Module) -> nn.Module:
    return network


HARD_NETWORKS = {
    "hard_swish": Hard(
        title="hard-swish and squeeze-excite (a small MobileNetV3) on linear light with glints",
        trap="rare bright spots reach every unbounded activation and gate; min-max ranges are theirs",
        scene=Scene(glints=0.3),
        build=_hard_swish,
        finish=_as_it_is,
    ),
    "depthwise": Hard(
        title="depthwise CNN (a small MobileNetV1), BatchNorm folded",
        trap=f"channels of one tensor differ in scale by up to {_SPREAD_ORDERS:g} orders of magnitude (put in by hand, "
        "function-preserving)",
        scene=Scene(),
        build=_depthwise,
        finish=_spread,
    ),
    "detector": Hard(
        title="one-stage detector with two outputs: boxes in pixels of the camera's frame, class scores",
        trap=f"boxes (0 to {_FRAME * DETECTOR_SIZE:g}) and scores (0 to 1) share one tensor, so they share one scale",
        scene=Scene(size=DETECTOR_SIZE, smallest=14.0, largest=44.0),
        build=_detector,
        finish=_as_it_is,
        detects=True,
        frame=_FRAME,
        training=10000,
        evaluation=3000,
        epochs=8,
    ),
}
"""Name → network."""
