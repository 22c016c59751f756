"""`edgeai doctor MODEL --data D`: what goes wrong in static int8, why, and the cure; in plain arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_converters.progress import OnStep
from edgeai_converters.spec import REPAIRS, CompressSpec, DataSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.cache import cache_folder
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format
from edgeai_runtime.transforms.parse import parse_steps

if TYPE_CHECKING:
    from edgeai.result import CompressResult
    from edgeai_converters.doctor import SourceDiagnosis

Steps = str | Mapping[str, str] | None


def diagnose_quantization(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    format: Format = "tflite",
    preprocess: Steps = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    threads: int = 1,
    work: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> SourceDiagnosis:
    """Quantize a model in simulation and say which operations make the error, why, and what would help.

    Args:
        path: a source of any kind; no bundle.
        data: samples, as for `compress`; with class labels the preprocessing is looked at, too.
        format: the format whose engine is meant.
        preprocess: steps from a sample to the model's input, as for `compress`.
        input_shapes: fixed shapes by input name.
        threads: threads inside an operation.
        work: folder where finished steps are kept.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError, DataError, ModelError: bad input.

    Example:
        >>> from edgeai.quantization_diagnosis import diagnose_quantization
        >>> diagnosis = diagnose_quantization("model.onnx", "samples.npz")  # doctest: +SKIP
        >>> diagnosis.quantization.healthy, diagnosis.verdict  # doctest: +SKIP
    """
    from edgeai_converters.doctor import diagnose_source
    from edgeai_runtime.bundle import is_bundle

    source = Path(path)
    if is_bundle(source) or source.suffix.lower() == ".edge":
        raise UsageError(f"{source} is a bundle: it was quantized already.", hint="Name the model it was made from.")
    given = {"": preprocess} if isinstance(preprocess, str) else dict(preprocess or {})
    spec = CompressSpec(
        source=source,
        data=DataSpec(data=os.fspath(data)),
        formats=(format,),
        preprocessing={name: parse_steps(text) for name, text in given.items()},
        input_shapes={name: tuple(shape) for name, shape in (input_shapes or {}).items()},
        threads=threads,
    )
    return diagnose_source(spec, format, _work_folder(work), on_step=on_step)


def fix_quantization(
    diagnosis: SourceDiagnosis,
    data: str | os.PathLike[str],
    *,
    preprocess: Steps = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    threads: int = 1,
    work: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> CompressResult:
    """Compress the source of a diagnosis to static int8 with its cures: repairs made, culprits kept in float.

    Args:
        diagnosis: what `diagnose_quantization` found.
        data: as there; likewise the other arguments.

    Raises:
        UsageError: the diagnosis holds no cure that a recipe can make.
    """
    from edgeai.api import compress

    found = diagnosis.quantization
    if not found.repairs and not found.excluded:
        needed = [pattern.fix for pattern in found.patterns]
        raise UsageError("There is nothing here that --fix could do.", hint="; ".join(needed) or "It is healthy.")
    return compress(
        diagnosis.source,
        data,
        formats=(diagnosis.format,),
        precisions=("float32", "int8"),
        repairs=[name for name in REPAIRS if name in found.repairs] or None,
        exclude=found.excluded,
        preprocess=preprocess,
        input_shapes=input_shapes,
        threads=threads,
        work=work,
        on_step=on_step,
    )


def _work_folder(work: str | os.PathLike[str] | None) -> WorkFolder:
    return WorkFolder(Path(work) if work is not None else cache_folder() / "work")
