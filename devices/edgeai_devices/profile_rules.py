"""What a delegate, a compiler or an export can take of a model: operators, shapes, precisions. One file, many devices.

A file of rules is TOML beside the profiles (`profiles/rules/<id>.toml`, or your own in `./devices/rules/`). A profile
names the files that hold for it. Each list and each limit has its source, as a figure of a profile has.

    id = "ethos-u55"
    name = "Arm Ethos-U55, compiled by Vela"
    applies_to = ["vela", "litert:ethosu"]   # delegates of the runtime, COMPILERS, EXPORTS
    vocabulary = "tflite"                    # whose operator names these are: tflite or onnx
    precisions = ["int8", "int16x8"]         # of operators; absent: any
    otherwise = "cpu"                        # what becomes of an operator that does not pass: cpu or error
    static_shapes = true
    allowed = ["CONV_2D", "ADD"]             # absent: any operator that is not denied

    [denied]                                 # operator → why
    CUSTOM = "…"
    [conditions]                             # operator → what else must hold, in words: reported, not checked
    RESIZE_BILINEAR = "…"

    [[limits]]
    operators = ["CONV_2D"]                  # absent: every operator
    property = "kernel_height"               # one of PROPERTIES
    min = 1
    max = 64
    source = "…"
    mend = "…"                               # the step after which it passes, where there is one

    [[slow_kernels]]                         # runs, yet slower than one would think
    operators = ["TANH"]
    precisions = ["int16x8"]
    reason = "…"
    source = "…"

    [[kernel_widths]]                        # channels that a kernel works on at a time: what pruning rounds widths to
    operators = ["CONV_2D"]
    precisions = ["int8"]
    channels = 16
    source = "…"

    [[gains]]                                # what weights that are prepared for it bring, beyond smaller packed files
    method = "clusters"                      # sparse or clusters: methods of `edgeai prune`
    pattern = "2:4"                          # of zeros, where only one brings it
    effect = "flash"                         # flash or latency
    source = "…"

    [sources]
    "allowed" = "…"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from edgeai_runtime.manifest import PRECISIONS, Precision

Compiler = Literal["vela", "qnn", "coreml", "openvino", "edgetpu", "tensorrt", "rknn"]
COMPILERS: tuple[Compiler, ...] = get_args(Compiler)
"""Compilers that make an artifact for one accelerator; `devices/…/compilers` has those that edgeai can drive."""

Export = Literal["c", "android", "ios"]
EXPORTS: tuple[Export, ...] = get_args(Export)
"""What `edgeai export --to` writes; `c` is TensorFlow Lite for Microcontrollers."""

Vocabulary = Literal["tflite", "onnx"]
VOCABULARIES: tuple[Vocabulary, ...] = get_args(Vocabulary)
Otherwise = Literal["cpu", "error"]
OTHERWISE: tuple[Otherwise, ...] = get_args(Otherwise)

Property = Literal[
    "batch",
    "rank",
    "dimension",
    "kernel_height",
    "kernel_width",
    "kernel_area",
    "dilated_kernel_height",
    "dilated_kernel_width",
    "dilated_kernel_area",
    "stride",
    "dilation",
    "groups",
    "input_channels",
    "output_channels",
    "inputs",
    "reduced_area",
    "reduced_axis",
    "weight_sum",
]
PROPERTIES: tuple[Property, ...] = get_args(Property)
"""What a limit may bound. `rank` and `dimension` hold for every input and output, `stride` and `dilation` for height
and width each; `weight_sum` is the largest sum of absolute quantized weights of one output channel, `reduced_axis` the
size of an axis that a mean goes over, `reduced_area` the product of height and width of the input."""

GainMethod = Literal["sparse", "clusters"]
GAIN_METHODS: tuple[GainMethod, ...] = get_args(GainMethod)
Effect = Literal["flash", "latency"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A property of operators that must lie within `min` and `max`, both included; no `operators`: of every one."""

    property: Property
    source: str
    operators: tuple[str, ...] = ()
    min: int | None = None
    max: int | None = None
    mend: str = ""


@dataclass(frozen=True, kw_only=True)
class SlowKernel:
    """Operators (none: all) that run slowly in these precisions (none: all), and why."""

    reason: str
    source: str
    operators: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KernelWidth:
    """How many output channels a kernel computes at a time; other widths waste part of the last pass."""

    channels: int
    source: str
    operators: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Weights pruned by `method` (in `pattern`, where only that one counts) take less flash or time on this target."""

    method: GainMethod
    effect: Effect
    source: str
    pattern: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a delegate, a compiler or an export can take of a model; see the head of this module.

    Attributes:
        allowed: operators that it takes; `None`: any that is not in `denied`.
        otherwise: what becomes of an operator that does not pass: the CPU runs it, or the model cannot be used.
        constant_weights: weights must be stored in the model, not computed in it.
    """

    id: str
    name: str
    applies_to: tuple[str, ...]
    vocabulary: Vocabulary
    otherwise: Otherwise
    precisions: tuple[Precision, ...] = PRECISIONS
    static_shapes: bool = False
    constant_weights: bool = False
    allowed: tuple[str, ...] | None = None
    denied: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    slow_kernels: tuple[SlowKernel, ...] = ()
    kernel_widths: tuple[KernelWidth, ...] = ()
    gains: tuple[Gain, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def why_not(self, operator: str) -> str:
        """Return why `operator` (a name of `vocabulary`) is not taken, or an empty text when it is."""
        if operator in self.denied:
            return self.denied[operator]
        if self.allowed is not None and operator not in self.allowed:
            return f"{self.name} has no {operator}"
        return ""

    def limits_of(self, operator: str) -> tuple[Limit, ...]:
        """Return the limits that hold for `operator`."""
        return tuple(limit for limit in self.limits if not limit.operators or operator in limit.operators)

    def to_json(self) -> dict[str, Any]:
        """Return a document of plain lists, strings and numbers."""
        return asdict(self)
