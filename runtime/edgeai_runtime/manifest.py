"""The manifest of a bundle: what is in it, as frozen dataclasses that mirror `manifest.json`.

In scope: the data model. Reading and writing JSON, with checks, is in `manifest_json.py`; files and digests are in
`bundle.py`.

Conventions: shapes are tuples with `None` for a free dimension, dtypes are numpy names (`float32`, `int8`, `uint8`,
`int64`), layouts are strings such as `NCHW`, `NHWC` or `NC`, times are milliseconds, sizes are bytes, drops are
fractions (0.01 is one point).
"""

from __future__ import annotations

from typing import Any, Literal

from edgeai_runtime.record import dataclass, field

SCHEMA = "edgeai.bundle/1"

Format = Literal["tflite", "onnx", "openvino"]
Precision = Literal["float32", "float16", "dynamic_int8", "int8", "int4", "int16x8"]
Verdict = Literal["certified", "unproven", "violated"]

FORMATS: tuple[Format, ...] = ("tflite", "onnx", "openvino")
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "dynamic_int8", "int8", "int4", "int16x8")


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Affine quantization of a boundary tensor: `real = (stored - zero_point) * scale` (per tensor)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output: its name, shape (batch dimension included), dtype, layout, quantization and meaning."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layout: str | None = None
    quantization: Quantization | None = None
    meaning: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One pre- or post-processing step: the name of an operation and its JSON-able parameters."""

    op: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One member: its path relative to the bundle's root (`/` separators), digest (hex) and size."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an output may be from the recorded one on another machine: `|a - b| <= atol + rtol * |b|`."""

    atol: float
    rtol: float


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The accuracy claim of a variant, from samples that nothing else was decided on.

    Attributes:
        metric: name of the metric (`top1`, `agreement`, …).
        source_score: score of the float source on the same `n` samples.
        score: score of this variant, run in its own engine.
        drop: loss of quality against the source, positive when worse; a fraction.
        drop_ci95: two-sided 95 % interval of the drop.
        flip_rate: share of samples whose prediction changed; `None` for metrics without a prediction.
        n: number of paired samples.
        max_drop: the budget that the verdict is about; `None` when there was none.
        verdict: `certified` (upper bound within the budget), `unproven` (point within, bound not), `violated`.
        samples_needed: for `unproven`, about how many samples would decide at this rate; else `None`.
        method: the statistical method, with its source.
        split: `certification`, or `search` for a candidate that was rejected before it was certified.
    """

    metric: str
    source_score: float
    score: float
    drop: float
    drop_ci95: tuple[float, float]
    flip_rate: float | None
    n: int
    max_drop: float | None
    verdict: Verdict
    samples_needed: int | None
    method: str
    split: Literal["certification", "search"]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Latency and memory of a variant, measured in its engine, and where that was.

    `speedup_vs_float` is the float artifact's latency divided by this one's, from interleaved runs in the same
    engine; `peak_memory_mib` is the growth of the process's peak resident memory by loading and running the model.
    """

    engine: str
    engine_version: str
    delegate: str
    threads: int
    latency_median_ms: float
    latency_p90_ms: float
    latency_median_ci95_ms: tuple[float, float]
    speedup_vs_float: float
    speedup_ci95: tuple[float, float]
    peak_memory_mib: float | None
    machine: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a variant comes from: digests of source and data, the recipe, and the versions of the tools."""

    source_name: str
    source_sha256: str
    data_sha256: str | None
    recipe: tuple[Step, ...]
    tools: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """How the files of a variant are encrypted (see `encryption.py`); their entries are of the ciphertext.

    Attributes:
        salt: text, random; the keys of the files are derived with its ASCII bytes.
        key_id: tells the bundle's key from others, 64 hexadecimal digits.
    """

    method: Literal["aes-256-gcm"]
    salt: str
    key_id: str


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One artifact of a bundle.

    Attributes:
        files: the members; the first is the one to open (`model.tflite`, `model.onnx`, `model.xml`).
        inputs: the artifact's own inputs, in the order of the manifest's inputs.
        outputs: the artifact's own outputs, in the order of the manifest's outputs.
        delegates: delegates it was made for, best first, such as `litert:xnnpack`.
        needs: requirements by name: of a package (`{"ai-edge-litert": ">=2.1,<3"}`), of `python`, or of the processor
            (`{"isa": "avx512_vnni"}`: all of these flags, separated by spaces).
        tolerance: per output name (of the manifest), against the recorded outputs of this variant.
        macs: multiply-accumulates of one sample by name of operation, as the variant's engine reports the names.
        encryption: how its files are encrypted; `None`: they are not.
    """

    id: str
    format: Format
    precision: Precision
    delegates: tuple[str, ...]
    files: tuple[FileEntry, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    needs: dict[str, str] = field(default_factory=dict)
    tolerance: dict[str, Tolerance] = field(default_factory=dict)
    certificate: Certificate | None = None
    measurements: tuple[Measurement, ...] = ()
    provenance: Provenance | None = None
    macs: dict[str, int] = field(default_factory=dict)
    encryption: Encryption | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One model of a pipeline: a bundle of its own, whose members lie in the folder `models/<name>`.

    Attributes:
        files: all its members, its `manifest.json` too.
        inputs: in a sequence, where an input's values come from when names do not tell: an input of the pipeline, or
            `<stage>/<output>` of an earlier stage.
        threshold: in a cascade, samples with less confidence than this go on to the next stage; the last has none.
        weight: in an ensemble, how much its answer counts.
    """

    name: str
    files: tuple[FileEntry, ...]
    inputs: dict[str, str] = field(default_factory=dict)
    threshold: float | None = None
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Several models in one bundle, each run with its own pre- and post-processing.

    Attributes:
        kind: `sequence` (results are the next one's inputs), `cascade` (the next one is asked where the first is
            unsure) or `ensemble` (all are asked).
        stages: the models, in order.
        confidence: of a cascade's first output: `score` the largest value, `margin` the largest less the second,
            `softmax` the largest after a softmax.
        combine: of an ensemble: the weighted `mean`, or the weighted share of `vote`s for each class.
    """

    kind: Literal["sequence", "cascade", "ensemble"]
    stages: tuple[Stage, ...]
    confidence: Literal["score", "margin", "softmax"] = "score"
    combine: Literal["mean", "vote"] = "mean"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The whole of `manifest.json`.

    `inputs` and `outputs` are the graph's (after pre-processing, before post-processing). `preprocessing` and
    `postprocessing` map their names to the steps run on them. `variants` come best first. `golden` holds the two
    golden files (`golden/inputs.npz`: one array per input, `[n, …]`, *before* pre-processing;
    `golden/outputs.npz`: `source/<output>` and `<variant id>/<output>`, *before* post-processing). `assets` are files
    that steps name. A bundle has either `variants` or a `pipeline`; the inputs and outputs of a pipeline are those of
    its first and last stage, and its own steps run around all of them.
    """

    name: str
    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    variants: tuple[Variant, ...]
    golden: tuple[FileEntry, ...] = ()
    preprocessing: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    postprocessing: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    labels: FileEntry | None = None
    assets: dict[str, FileEntry] = field(default_factory=dict)
    pipeline: Pipeline | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    schema: str = SCHEMA
