"""The public Python functions: each takes plain arguments, makes a spec, and hands it to the component that does it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeai.benchmarking.measure import bench
from edgeai.building import build
from edgeai.checking import check
from edgeai.diagnosis import doctor
from edgeai.diffing import diff
from edgeai.distillation import distill
from edgeai.exporting import export
from edgeai.inspection import inspect
from edgeai.pruning import prune
from edgeai.quantizing import quantize
from edgeai_converters.convert.report import Conversion, Explanation
from edgeai_converters.progress import OnStep
from edgeai_converters.recipe import Recipe
from edgeai_converters.spec import (
    DEFAULT_PRECISIONS,
    DEFAULT_RANGE_METHODS,
    DEFAULT_TRAINING,
    BoundaryDtype,
    Budget,
    CompressSpec,
    ConvertSpec,
    DataSpec,
    Layout,
    Pruning,
    RangeMethod,
    Repair,
)
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_devices.catalog import find_profile
from edgeai_devices.fit_request import formats_for, precisions_for, size_for
from edgeai_runtime import load
from edgeai_runtime.atomic import write_atomically
from edgeai_runtime.bundle_arrays import npz_bytes
from edgeai_runtime.bundle_verify import verify_bundle as verify
from edgeai_runtime.cache import cache_folder
from edgeai_runtime.manifest import FORMATS, Format, Precision, Step
from edgeai_runtime.transforms.parse import parse_steps

if TYPE_CHECKING:
    from edgeai.result import CompressResult

__all__ = [
    "bench",
    "build",
    "check",
    "compress",
    "convert",
    "diff",
    "distill",
    "doctor",
    "export",
    "inspect",
    "load",
    "prune",
    "quantize",
    "verify",
]

_ARRAYS_FILE = "arrays.npz"

Steps = str | Mapping[str, str] | None
Data = str | os.PathLike[str] | Mapping[str, Any] | tuple[Any, Any] | None


def compress(
    source: Any,
    data: Data = None,
    *,
    calibration_data: Data = None,
    certification_data: Data = None,
    train_data: Data = None,
    device: str | None = None,
    formats: Sequence[Format] | None = None,
    precisions: Sequence[Precision] | None = None,
    range_methods: Sequence[RangeMethod] = DEFAULT_RANGE_METHODS,
    repairs: Sequence[Repair] | None = None,
    exclude: Mapping[str, str] | None = None,
    boundary: BoundaryDtype = "float32",
    qoperator: bool = False,
    recipes: Sequence[Recipe] = (),
    metric: str | None = None,
    max_drop: float | None = 0.01,
    max_size: int | None = None,
    max_latency: float | None = None,
    max_latency_ratio: float | None = None,
    max_memory: float | None = None,
    strict: bool = False,
    preprocess: Steps = None,
    fold_preprocessing: bool = False,
    postprocess: Steps = None,
    labels: Sequence[str] = (),
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    prune: Pruning = "auto",
    training: TrainingSpec = DEFAULT_TRAINING,
    augment: str = "default",
    threads: int = 1,
    name: str | None = None,
    work: str | os.PathLike[str] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> CompressResult:
    """Compress a trained model into TFLite, ONNX and OpenVINO artifacts under a budget, each measured in its engine.

    Args:
        source: path of a Keras, PyTorch (`.pt2`), ONNX or TFLite model, or a live Keras or PyTorch model.
        data: samples: path of an `.npz`, a folder of images, a CSV beside images, `module:function`, or arrays:
            a mapping of input names to `[n, …]` (with labels under `y`), or `(x, y)`. Split in three by content.
        calibration_data: samples for value ranges, in place of a part of `data`.
        certification_data: samples for certificates, in place of a part of `data`.
        train_data: samples to train on, when nothing cheaper meets the budget: narrower networks are taught by the
            source, and quantized networks by the float one. Labels are optional.
        device: id of a device profile, or of one of your own in `./devices`: its formats and precisions are made, its
            flash limits the size, and what does not fit it is rejected before it is measured.
        formats: formats to write; by default all, or the device's.
        precisions: precisions to try, by default all but int16x8, or the device's; float32 is always made, as the
            reference.
        range_methods: activation range estimators that static int8 may choose from.
        repairs: repairs that static int8 is made with (`equalize`, `bias_correction`, …); by default chosen.
        exclude: nodes that static int8 keeps in float, with the reason.
        boundary: `int8` or `uint8` gives static int8 integer inputs and outputs (TFLite, ONNX).
        qoperator: write static int8 for ONNX in integer operators (QLinearConv, …).
        recipes: recipes of an earlier search to replay, in place of a search (`read_recipes`).
        metric: `top1`, `top5`, `auc`, `mae`, `rmse`, `agreement`, `cosine` or `module:function`.
        max_drop: largest loss of quality, a fraction (0.01 is one point); `None` for no limit.
        max_size: largest artifact in bytes.
        max_latency: largest median latency in ms, batch 1, on this machine.
        max_latency_ratio: largest median latency as a share of float's in the same engine.
        max_memory: largest growth of peak memory in MiB by loading and running the artifact.
        strict: accept only candidates that are certified.
        preprocess: steps from a sample to the model's input, in the compact form (`"scale:factor=0.0039"`), for the
            only input or by input name. They become part of the bundle.
        fold_preprocessing: move steps of `preprocess` into the graph where that is exact and not slower.
        postprocess: steps that the runtime runs on the outputs, likewise.
        labels: class names in order.
        input_shapes: fixed shapes by input name.
        prune: `auto` tries narrower networks when nothing else is within `max_size` and `max_latency`; `always` goes
            as far as `max_drop` allows; `never`. It needs `train_data`.
        training: how narrower networks are trained.
        augment: what is done to samples meanwhile: `none`, `default` (by the form of the inputs), `module:function`.
        threads: most threads used by measurements; trainings use all processors.
        name: the bundle's name.
        work: folder where finished steps are kept; an interrupted call resumes from it.
        seed: seed of everything that draws.
        on_step: progress, called with (done, total, label).

    Returns:
        The candidates, judged; the best ones; what it took. `result.save("model.edge")` writes the bundle.

    Raises:
        UsageError, DataError, ModelError: bad input, before anything is searched.

    Example:
        >>> import edgeai
        >>> result = edgeai.compress("digits.onnx", data="digits.npz", max_drop=0.01)  # doctest: +SKIP
        >>> result.save("digits.edge")  # doctest: +SKIP
    """
    from edgeai.result import CompressResult
    from edgeai_converters.pipeline import compress as run

    folder = WorkFolder(Path(work) if work is not None else cache_folder() / "work")
    is_path = isinstance(source, str | os.PathLike)
    profile = find_profile(device) if device is not None else None
    spec = CompressSpec(
        source=Path(source) if is_path else Path(type(source).__name__),
        data=DataSpec(
            data=_data_text(data, folder),
            calibration=_data_text(calibration_data, folder),
            certification=_data_text(certification_data, folder),
            training=_data_text(train_data, folder),
        ),
        formats=formats_for(profile, formats) if profile else tuple(formats or FORMATS),
        precisions=precisions_for(profile, precisions) if profile else tuple(precisions or DEFAULT_PRECISIONS),
        range_methods=tuple(range_methods),
        repairs=None if repairs is None else tuple(repairs),
        exclude=dict(exclude or {}),
        boundary=boundary,
        qoperator=qoperator,
        recipes=tuple(recipes),
        metric=metric,
        budget=Budget(
            max_drop=max_drop,
            max_size_bytes=size_for(profile, max_size) if profile else max_size,
            max_latency_ms=max_latency,
            max_latency_ratio=max_latency_ratio,
            max_memory_mib=max_memory,
            strict=strict,
        ),
        preprocessing=_steps(preprocess),
        fold_preprocessing=fold_preprocessing,
        postprocessing=_steps(postprocess),
        labels=tuple(labels),
        input_shapes={key: tuple(shape) for key, shape in (input_shapes or {}).items()},
        prune=prune,
        training=replace(training, seed=seed),
        augment=augment,
        threads=threads,
        name=name,
        device=profile,
        seed=seed,
    )
    return CompressResult(run(spec, folder, live_source=None if is_path else source, on_step=on_step))


def convert(
    source: Any,
    to: Format,
    *,
    out: str | os.PathLike[str] | None = None,
    precision: Precision = "float32",
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
    layout: Layout | None = None,
    samples: str | None = None,
    work: str | os.PathLike[str] | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Conversion:
    """Convert a model to one format, behind a parity gate; nothing is written that was not compared with its source.

    Args:
        source: path of the model, or a live Keras or PyTorch model.
        to: `tflite`, `onnx` or `openvino`.
        out: file to write; by default the source's name with the format's suffix, in the current folder.
        precision: `float32`, `float16` or `dynamic_int8`; `int8` carries over the integers of a source that is
            quantized already (of a float source it needs data: see `compress`).
        input_shapes: fixed shapes by input name, in the source's layout.
        batch: fixes the free batch dimension of all inputs.
        layout: `NHWC` or `NCHW` for maps at the artifact's boundary; by default the source's layout.
        samples: data whose first samples serve the parity gate; else inputs are drawn.
        work: folder where the graph that was read from a file is kept, for the next format of the same file.
        force: overwrite.
        on_step: progress.

    Raises:
        ModelError: the source cannot be read, or an operation stands in the way.
        ParityError: the artifact does not compute what the source computes; nothing is written.
    """
    from edgeai_converters.convert.convert import convert as run
    from edgeai_converters.convert.kept_import import open_kept
    from edgeai_converters.routes import SUFFIXES

    is_path = isinstance(source, str | os.PathLike)
    path = Path(source) if is_path else Path(type(source).__name__)
    spec = ConvertSpec(
        source=path,
        format=to,
        precision=precision,
        input_shapes={key: tuple(shape) for key, shape in (input_shapes or {}).items()},
        batch=batch,
        layout=layout,
        samples=samples,
    )
    target = Path(out) if out is not None else Path(path.stem + SUFFIXES[to])
    kept = open_kept(Path(work) if work is not None else cache_folder() / "imports")
    return run(spec, target, live_source=None if is_path else source, work=kept, on_step=on_step, force=force)


def explain(source: str | os.PathLike[str], to: Format, *, precision: Precision = "float32") -> Explanation:
    """Return the routes that `convert` would try, in their order, and what each needs; nothing is run.

    Args:
        source: path of the model; only its first bytes are read, to tell its kind.
        to: `tflite`, `onnx` or `openvino`.
        precision: as for `convert`.

    Example:
        >>> for route in edgeai.api.explain("model.keras", "tflite").routes:  # doctest: +SKIP
        ...     print(route.names, route.missing)
    """
    from edgeai_converters.convert.convert import explain as run

    return run(ConvertSpec(source=Path(source), format=to, precision=precision))


def _steps(given: Steps) -> dict[str, tuple[Step, ...]]:
    if not given:
        return {}
    if isinstance(given, str):
        return {"": parse_steps(given)}
    return {name: parse_steps(text) for name, text in given.items()}


def _data_text(data: Data, work: WorkFolder) -> str | None:
    """Return the text that names the data; arrays are kept in the work folder first, so that children can open them."""
    if data is None:
        return None
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    arrays = dict(data) if isinstance(data, Mapping) else {"x": data[0], "y": data[1]}
    content = npz_bytes({key: np.asarray(value) for key, value in arrays.items() if value is not None})
    kept = work.step(
        "arrays",
        {"sha256": sha256(content).hexdigest()},
        lambda folder: write_atomically(folder / _ARRAYS_FILE, content),
    )
    return str(kept / _ARRAYS_FILE)
