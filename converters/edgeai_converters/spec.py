"""What a user wants, as frozen dataclasses: one spec per verb, checked when made.

Drops are fractions (0.01 is one point), sizes bytes, times milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from edgeai_converters.recipe import Recipe
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, PRECISIONS, Format, Precision, Step

RangeMethod = Literal["minmax", "percentile", "mse", "moving_average", "entropy"]
RANGE_METHODS: tuple[RangeMethod, ...] = get_args(RangeMethod)
DEFAULT_RANGE_METHODS: tuple[RangeMethod, ...] = ("minmax", "percentile", "mse", "entropy")
"""The range methods that a search tries unless told otherwise."""
Repair = Literal[
    "clamp_masks",
    "split_outputs",
    "equalize",
    "smooth",
    "masks",
    "unlike_concats",
    "adaround",
    "bias_correction",
    "bias_search",
]
Pruning = Literal["auto", "always", "never"]
PRUNINGS: tuple[Pruning, ...] = get_args(Pruning)
BoundaryDtype = Literal["float32", "int8", "uint8"]
BOUNDARY_DTYPES: tuple[BoundaryDtype, ...] = get_args(BoundaryDtype)
REPAIRS: tuple[Repair, ...] = get_args(Repair)
"""Repairs that static int8 may be tried with."""
Layout = Literal["NHWC", "NCHW"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
DEFAULT_TRAINING = TrainingSpec(epochs=20, batch_size=64, learning_rate=0.01, device="auto")
"""How a narrower network is trained unless told otherwise."""
DEFAULT_PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "dynamic_int8", "int8", "int4")
"""The precisions that a search tries unless told otherwise; int4 only where it reaches most of the weights."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits a user sets; `None` means no limit.

    Attributes:
        max_drop: largest loss of quality against the float source, a fraction.
        max_size_bytes: largest artifact.
        max_latency_ms: largest median latency (batch 1) on this machine.
        max_latency_ratio: largest median latency as a share of the float artifact's in the same engine.
        max_memory_mib: largest growth of the process's peak memory by loading and running the artifact.
        strict: accept only candidates whose verdict is `certified`.
        judge_times: whether what was timed may reject: latency, memory, and slower than float. `False` for a replay,
            whose recipes were chosen by such figures before: its result shall not depend on how busy a machine is.
    """

    max_drop: float | None = 0.01
    max_size_bytes: int | None = None
    max_latency_ms: float | None = None
    max_latency_ratio: float | None = None
    max_memory_mib: float | None = None
    strict: bool = False
    judge_times: bool = True

    def __post_init__(self) -> None:
        for name in ("max_drop", "max_size_bytes", "max_latency_ms", "max_latency_ratio", "max_memory_mib"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UsageError(f"{name} must be 0 or more. Received: {value!r}")


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where samples come from: `.npz`, a folder of images, a CSV beside images, or `module:function`.

    `data` is split by a fixed hash of each sample into calibration, search and certification, unless `calibration`
    or `certification` name sources of their own; then `data` serves the splits that are left. `training` is only ever
    trained on; none of its samples may be among those for search or certification.
    """

    data: str | None = None
    calibration: str | None = None
    certification: str | None = None
    training: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether any samples were named."""
        return any((self.data, self.calibration, self.certification))


@dataclass(frozen=True, kw_only=True)
class CompressSpec:
    """What `compress` is asked for.

    Attributes:
        source: path of the trained model.
        data: where samples come from; without any, only recipes that need no data are tried and nothing is certified.
        formats: formats to write.
        precisions: precisions to try; `float32` is always made, as the reference.
        range_methods: activation range estimators to choose from.
        repairs: repairs that static int8 is made with; `None` lets the search choose.
        exclude: nodes that static int8 keeps in float in any case, with the reason.
        boundary: type of the inputs and outputs of static int8: floats, or integers where the format can.
        qoperator: write static int8 for ONNX in integer operators in place of Quantize/Dequantize nodes.
        recipes: recipes to try, and no other, beside the float reference; empty searches.
        metric: `top1`, `top5`, `auc`, `mae`, `rmse`, `agreement`, `cosine` or `module:function`; `None` chooses
            `top1` with labels and `agreement` without.
        preprocessing: steps that turn one sample (or a batch of them) into the model's input, per input name.
        postprocessing: steps run on the outputs by the runtime, per output name; not part of the measured model.
        labels: class names, in order; empty when there are none.
        input_shapes: fixed shapes per input name, for sources with free dimensions.
        prune: whether narrower networks are tried, where there is data to train on: `auto` when nothing else is within
            the limits on size and latency, `always` to go as far as the limit on the drop allows, `never`.
        training: how narrower networks are trained.
        augment: what is done to their training samples: `none`, `default` or `module:function`.
        fold_preprocessing: move steps into the graph where that is exact and not slower (`folding.py`).
        threads: most threads used by measurements.
        name: name of the bundle; by default that of the source file.
        device: what artifacts must fit; one that does not is rejected before it is measured.
        seed: seed of everything that draws.
    """

    source: Path
    data: DataSpec = field(default_factory=DataSpec)
    formats: tuple[Format, ...] = FORMATS
    precisions: tuple[Precision, ...] = DEFAULT_PRECISIONS
    range_methods: tuple[RangeMethod, ...] = DEFAULT_RANGE_METHODS
    repairs: tuple[Repair, ...] | None = None
    exclude: dict[str, str] = field(default_factory=dict)
    boundary: BoundaryDtype = "float32"
    qoperator: bool = False
    recipes: tuple[Recipe, ...] = ()
    metric: str | None = None
    budget: Budget = field(default_factory=Budget)
    preprocessing: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    postprocessing: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    input_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    prune: Pruning = "auto"
    training: TrainingSpec = DEFAULT_TRAINING
    augment: str = "default"
    fold_preprocessing: bool = False
    threads: int = 1
    name: str | None = None
    device: Profile | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choices("format", self.formats, FORMATS)
        _check_choices("prune", (self.prune,), PRUNINGS)
        _check_choices("precision", self.precisions, PRECISIONS)
        _check_choices("range method", self.range_methods, RANGE_METHODS)
        _check_choices("boundary", (self.boundary,), BOUNDARY_DTYPES)
        if self.repairs:
            _check_choices("repair", self.repairs, REPAIRS)
        if self.threads < 1:
            raise UsageError(f"threads must be 1 or more. Received: {self.threads}")


@dataclass(frozen=True, kw_only=True)
class ConvertSpec:
    """What `convert` is asked for: one source, one format, one precision that needs no data.

    Attributes:
        source: path of the trained model.
        format: the format to write.
        precision: how weights are stored.
        input_shapes: fixed shapes per input name, in the source's layout.
        batch: fixes the free first dimension of all inputs.
        layout: layout of maps at the artifact's boundary; `None` keeps the source's.
        samples: data whose first samples serve the parity gate beside drawn inputs.
        seed: seed of everything that draws.
    """

    source: Path
    format: Format
    precision: Precision = "float32"
    input_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int | None = None
    layout: Layout | None = None
    samples: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choices("format", (self.format,), FORMATS)
        _check_choices("precision", (self.precision,), PRECISIONS)
        if self.layout is not None:
            _check_choices("layout", (self.layout,), LAYOUTS)
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"batch must be 1 or more. Received: {self.batch}")


@dataclass(frozen=True, kw_only=True)
class DistillSpec:
    """What `distill` is asked for.

    Attributes:
        student: path of the model that learns, of any kind.
        teacher: path of the model that it learns from, of any kind.
        data: `training` is what is trained on; the rest is divided into search and certification as for `compress`.
        training: how to train.
        metric: as for `compress`; without labels the student is compared with the teacher.
        max_drop: largest loss of quality against the teacher, a fraction; `None` for no limit.
        augment: `none`, `default` or `module:function`.
        features: inner values of the student's graph → inner values of the teacher's to follow.
        preprocessing: steps that turn one sample into the models' input, per input name of the student.
        input_shapes: fixed shapes per input name of the student.
        teacher_shapes: fixed shapes per input name of the teacher.
    """

    student: Path
    teacher: Path
    data: DataSpec
    training: TrainingSpec = field(default_factory=TrainingSpec)
    metric: str | None = None
    max_drop: float | None = None
    augment: str = "default"
    features: dict[str, str] = field(default_factory=dict)
    preprocessing: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    input_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    teacher_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.data.training is None or not self.data.is_given:
            missing = "to search and certify on (--data)" if self.data.training else "to train on (--train-data)"
            raise UsageError(f"Distillation needs samples {missing}; none of them may be in both.")


def _check_choices(what: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if not given:
        raise UsageError(f"At least one {what} is needed: {', '.join(allowed)}.")
    for value in given:
        if value not in allowed:
            raise UsageError(f"Unknown {what}. Allowed: {', '.join(allowed)}. Received: {value!r}")
