"""The keys of `edgeai.toml`, as one literal table: what each takes, what it means, what it is by default.

Reading (`config_read.py`), the JSON Schema for editors (`json_schema.py`) and the file that `edgeai init` writes are
all made from it, so that none of them can say something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeai.builder.gate_result import ACCURACIES, GATE_DEVICES
from edgeai_converters.spec import PRUNINGS
from edgeai_runtime.manifest import FORMATS, PRECISIONS, Format, Precision

SCHEMA = 1
FILE_NAME = "edgeai.toml"

Kind = Literal[
    "text", "path", "paths", "data", "whole", "flag", "fraction", "size", "latency", "memory", "word", "words", "steps",
    "shapes", "metric",
]  # fmt: skip
"""`data` is a path or `module:function`; amounts are written with a unit (`1%`, `150KB`, `5ms`, `64MB`); `steps` are
text, or a table of texts by tensor name; `shapes` a table of lists by input name; a `metric` is one of those known by
name, or `module:function`."""

METRICS = ("top1", "top5", "auc", "mae", "rmse", "agreement", "cosine")
"""Metrics by name. Those of `edgeai_converters.evaluate.metrics`, which imports too much to be asked here."""

EXPORTS: dict[str, tuple[tuple[Format, ...], tuple[Precision, ...]]] = {
    "c": (("tflite",), ("int8", "int16x8", "float32")),
    "android": (("tflite",), PRECISIONS),
    "ios": (("tflite",), PRECISIONS),
}
"""Exports for an app's sources, with formats and precisions that they take. Those of `edgeai.exporting`, which imports
too much to be asked while a file is read."""

EXPORTED = tuple(EXPORTS)
COMPILED = ("ethos-u", "qnn-context", "openvino-blob", "coreml", "edgetpu", "tensorrt", "rknn")
OUTPUTS = ("bundle", *EXPORTED, *COMPILED)
"""What can be written for a target: the bundle, exports for an app's sources, and files of a device's compiler."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of a table.

    Attributes:
        name: the key.
        kind: what its value is.
        about: what it means, one sentence for editors and docs.
        allowed: of a `word` or `words`, which.
        required: whether it must be there.
        example: a value as it is written in TOML.
    """

    name: str
    kind: Kind
    about: str
    allowed: tuple[str, ...] = ()
    required: bool = False
    example: str = ""


TABLES: dict[str, tuple[Key, ...]] = {
    "project": (
        Key(name="name", kind="text", about="Name of the project.", required=True, example='"digits-app"'),
        Key(
            name="version",
            kind="text",
            about="Version written into every bundle; devices can ask for a minimum.",
            example='"1.0.0"',
        ),
        Key(name="output", kind="path", about="Folder of what is made; `build` by default.", example='"build"'),
    ),
    "models.NAME": (
        Key(name="source", kind="path", about="The trained model.", required=True, example='"model.onnx"'),
        Key(
            name="data",
            kind="data",
            about="Samples: .npz, a folder of images, a CSV beside images, module:function. Divided in three.",
            example='"data.npz"',
        ),
        Key(name="calibration_data", kind="data", about="Samples for value ranges only.", example='"calibrate.npz"'),
        Key(name="certification_data", kind="data", about="Samples for the certificate only.", example='"test.npz"'),
        Key(name="train_data", kind="data", about="Samples to train on, for narrower networks.", example='"train.npz"'),
        Key(
            name="depends",
            kind="paths",
            about="Files and folders that `module:function` reads: a change of them makes the model again.",
            example='["records"]',
        ),
        Key(
            name="metric",
            kind="metric",
            about=f"{', '.join(METRICS)} or module:function.",
            example='"top1"',
        ),
        Key(name="labels", kind="path", about="A text file with one class name per line.", example='"labels.txt"'),
        Key(
            name="preprocess",
            kind="steps",
            about="What the runtime does to inputs; a text, or a table by input name.",
            example='"cast:float32;scale:factor=0.00392"',
        ),
        Key(
            name="postprocess",
            kind="steps",
            about="What the runtime does to outputs; a text, or a table by output name.",
            example='"softmax"',
        ),
        Key(
            name="input_shapes",
            kind="shapes",
            about="Fixed shapes by input name; -1 keeps a size free.",
            example="{ image = [1, 3, 224, 224] }",
        ),
        Key(
            name="prune",
            kind="word",
            about="Narrower networks, where there is `train_data`: auto, always or never.",
            allowed=PRUNINGS,
            example='"auto"',
        ),
        Key(name="threads", kind="whole", about="Most threads that measurements use.", example="1"),
        Key(name="seed", kind="whole", about="Seed of everything that draws.", example="0"),
    ),
    "models.NAME.budget": (
        Key(
            name="max_drop",
            kind="fraction",
            about="Most accuracy that may be lost, of all samples; 1% by default.",
            example='"1%"',
        ),
        Key(name="max_size", kind="size", about="Largest artifact that the search accepts.", example='"200KB"'),
        Key(
            name="max_latency",
            kind="latency",
            about="Slowest median that the search accepts: 5ms, or 40% of the float artifact's.",
            example='"100%"',
        ),
        Key(name="max_memory", kind="memory", about="Largest growth of peak memory.", example='"64MB"'),
        Key(name="strict", kind="flag", about="Accept only what the samples prove (certified).", example="true"),
    ),
    "models.NAME.targets.NAME": (
        Key(
            name="device",
            kind="text",
            about="Id of a device profile (`edgeai devices`); it gives formats and precisions.",
            example='"rpi5"',
        ),
        Key(name="formats", kind="words", about="Formats to make.", allowed=FORMATS, example='["tflite"]'),
        Key(name="precisions", kind="words", about="Precisions to try.", allowed=PRECISIONS, example='["int8"]'),
        Key(
            name="outputs",
            kind="words",
            about="What is written to the output folder; the bundle by default.",
            allowed=OUTPUTS,
            example='["bundle"]',
        ),
    ),
    "models.NAME.targets.NAME.gates": (
        Key(name="size", kind="size", about="Largest artifact.", example='"150KB"'),
        Key(
            name="latency",
            kind="latency",
            about="Largest median latency on this machine, or share of float's in the same run.",
            example='"100%"',
        ),
        Key(
            name="memory",
            kind="memory",
            about="Largest growth of peak memory by loading and running.",
            example='"32MB"',
        ),
        Key(
            name="accuracy",
            kind="word",
            about="certified: the samples prove the limit on the drop; unproven: none contradicts it.",
            allowed=ACCURACIES,
            example='"certified"',
        ),
        Key(name="coverage", kind="fraction", about="Least share of operations on `device`.", example="0.95"),
        Key(
            name="device",
            kind="word",
            about="What `coverage` is about; npu by default.",
            allowed=GATE_DEVICES,
            example='"npu"',
        ),
        Key(
            name="not_slower_than",
            kind="path",
            about="A bundle, such as the last release, that is measured beside.",
            example='"releases/digits-1.1.0.edge"',
        ),
        Key(name="slower_limit", kind="fraction", about="How much slower than that is no break.", example='"5%"'),
    ),
    "sign": (
        Key(
            name="key",
            kind="text",
            about="The private key: a path, or env:NAME of a variable that holds a path or the PEM text.",
            required=True,
            example='"env:EDGEAI_KEY"',
        ),
    ),
    "encrypt": (
        Key(
            name="key",
            kind="text",
            about="The key: a path, or env:NAME of a variable that holds it.",
            required=True,
            example='"env:EDGEAI_ENCRYPTION_KEY"',
        ),
    ),
}
"""Keys by table; `NAME` stands for a name that the user gives. Tables inside tables are not listed as keys."""

INSIDE: dict[str, tuple[str, ...]] = {
    "": ("schema", "project", "models", "sign", "encrypt"),
    "models.NAME": ("budget", "targets"),
    "models.NAME.targets.NAME": ("gates",),
}
"""Keys that are tables, or are read on their own, by the table they are in."""
