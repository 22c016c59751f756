"""The cases: which model, which data, how it is trained, and what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeai_converters.spec import DEFAULT_TRAINING
from edgeai_converters.train.training_spec import TrainingSpec
from slimming.rows import Goal

_CIFAR = "cast:float32;scale:factor=0.00392156862745098;normalize:mean=[0.485,0.456,0.406],std=[0.229,0.224,0.225]"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A trained network that is fine-tuned on more images first.

    Attributes:
        model: its file among the assets.
        preprocess: steps from an image to its input.
        tuning: how it is fine-tuned.
    """

    model: str
    preprocess: str
    tuning: TrainingSpec


@dataclass(frozen=True, kw_only=True)
class SlimCase:
    """Plain int8, then pruning and int8 by one command, of one float model.

    Attributes:
        title: what it is.
        data: `cifar`, `digits` or `messages`.
        goal: what is to be halved on top of int8.
        precisions: what both commands may write.
        published: the network it begins with, or
        network: the network that is trained here, with `epochs` passes.
        training: how what was pruned is trained.
        limit: most samples of each kind.
    """

    title: str
    data: str
    goal: Goal
    precisions: tuple[str, ...] = ("float32", "dynamic_int8", "int8")
    published: Published | None = None
    network: str = ""
    epochs: int = 1
    training: TrainingSpec = DEFAULT_TRAINING
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class StudentCase:
    """A narrower copy with fresh weights, trained with and without its source as the teacher.

    Attributes:
        title: what it is.
        published: the teacher, fine-tuned first.
        width: share of the channels that the student has.
        training: of the student with a teacher; without one labels are all of the loss.
        seeds: how often all is done.
        samples: labelled samples that the student without a teacher sees.
        unlabelled: samples that the teacher answers for the other one, which sees no label; the steps are as many.
        limit: most samples of each kind.
    """

    title: str
    published: Published
    width: float
    training: TrainingSpec
    seeds: int
    samples: int
    unlabelled: int
    limit: int | None = None


Case = SlimCase | StudentCase

RESNET20 = Published(
    model="cifar10/resnet20.onnx",
    preprocess=f"{_CIFAR};layout:NHWC>NCHW",
    tuning=TrainingSpec(epochs=3, batch_size=64, learning_rate=3e-3),
)
RESNET8 = Published(
    model="mlperf_tiny/image_classification/pretrainedResnet.h5",
    preprocess="cast:float32",
    tuning=TrainingSpec(epochs=4, batch_size=64, learning_rate=3e-3, threads=2),
)

CASES: dict[str, Case] = {
    "resnet20": SlimCase(
        title="ResNet20 on CIFAR-10 images, fine-tuned on them", data="cifar", goal="latency", published=RESNET20,
        precisions=("float32", "int8"), training=replace(DEFAULT_TRAINING, epochs=14),
    ),
    "resnet8": SlimCase(
        title="ResNet8 on CIFAR-10 images, fine-tuned on them", data="cifar", goal="latency", published=RESNET8,
        precisions=("float32", "int8"),
    ),
    "student": StudentCase(
        title="ResNet20 at half its width, weights drawn anew", published=RESNET20, width=0.5, seeds=3,
        samples=1500, unlabelled=15000,
        training=TrainingSpec(epochs=50, batch_size=64, learning_rate=3e-2, temperature=2.0, label_weight=0.0),
    ),
    "mlp": SlimCase(
        title="dense layers 64-256-128-10 on scikit-learn's digits", data="digits", goal="size", network="mlp",
        epochs=30,
    ),
    "lstm": SlimCase(
        title="embedding of 32, LSTM of 64 units, on the words of text messages", data="messages", goal="size",
        network="lstm", epochs=8,
    ),
    "transformer": SlimCase(
        title="two blocks of attention, 64 wide, on the words of text messages", data="messages", goal="size",
        network="transformer", epochs=8,
    ),
}  # fmt: skip
"""Name → case."""

_QUICK = 1200


def quick(case: Case) -> Case:
    """Return a case that is over in a minute or two and proves nothing: few samples, one pass, two seeds."""

    def short(published: Published) -> Published:
        return replace(published, tuning=replace(published.tuning, epochs=1))

    if isinstance(case, StudentCase):
        training = replace(case.training, epochs=1)
        return replace(case, published=short(case.published), training=training, seeds=2, limit=_QUICK)
    published = None if case.published is None else short(case.published)
    return replace(case, published=published, epochs=min(case.epochs, 4), limit=_QUICK)
