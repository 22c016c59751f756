"""`edgeai.pruning.prune`: a smaller model, in plain arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_converters.progress import OnStep
from edgeai_converters.spec import DataSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.cache import cache_folder
from edgeai_runtime.errors import OutputError
from edgeai_runtime.transforms.parse import parse_steps

if TYPE_CHECKING:
    from edgeai_converters.prune.pruning_spec import EnginePrecision, ImportanceName, MethodName
    from edgeai_converters.pruning import Pruning
    from edgeai_runtime.manifest import Format

PathLike = str | os.PathLike[str]


def prune(
    source: Any,
    data: PathLike,
    *,
    out: PathLike | None = None,
    calibration_data: PathLike | None = None,
    certification_data: PathLike | None = None,
    method: MethodName = "channels",
    share: float | None = None,
    target_latency: float | None = None,
    target_size: float | None = None,
    blocks: int | None = None,
    pattern: tuple[int, int] | None = None,
    clusters: int | None = None,
    engine_format: Format = "onnx",
    precision: EnginePrecision = "float32",
    importance: ImportanceName = "l2",
    multiple_of: int = 1,
    floor: float = 0.1,
    reconstruct: bool = True,
    metric: str | None = None,
    max_drop: float | None = None,
    preprocess: str | Mapping[str, str] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    threads: int = 1,
    seed: int = 0,
    work: PathLike | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Pruning:
    """Make a model smaller by what is worth least in it, and say what that cost and gave.

    How much goes is said by one of `share`, `target_latency`, `target_size`, `blocks`, `pattern` and `clusters`, of
    those that the method knows; each method has a default.

    Args:
        source: path of the model, of any kind that can be a source, or a live Keras or PyTorch model.
        data: samples, divided into calibration and certification as for `compress`.
        out: the `.onnx` file to write; by default the source's name with `-pruned.onnx`.
        calibration_data: samples for importance and for fitting, in place of a part of `data`.
        certification_data: samples for the certificate, in place of a part of `data`.
        method: what goes: `channels`, whole blocks (`depth`), ranks (`low-rank`), weights (`sparse`), or values that
            weights may take (`clusters`).
        share: share that goes: of all channels, of the weights of blocks, of those that can become products, or of each
            weight's numbers.
        target_latency: channels go until the latency in the target engine is this share of the whole network's.
        target_size: likewise, of the file's size in its format.
        blocks: blocks that go.
        pattern: `(n, m)`: of m neighbours in a weight n stay.
        clusters: values that a weight may take.
        engine_format: format of the target engine: where latency is measured.
        precision: `float32` or `int8`: what is measured there.
        importance: `l2`, `l1`, `activation`, `taylor` (needs PyTorch) or `reconstruction`.
        multiple_of: what the widths of layers are rounded up to, and ranks are multiples of.
        floor: share of its channels, or of its rank, that a layer keeps at least.
        reconstruct: fit the layers that read cut channels anew.
        metric: as for `compress`.
        max_drop: what may be lost; only judged, for the certificate.
        preprocess: steps from a sample to the model's input, as for `compress`.
        input_shapes: fixed shapes by input name.
        threads: most threads used by measurements.
        seed: seed of everything that draws.
        work: folder where finished steps are kept.
        force: overwrite.
        on_step: progress, called with (done, total, label).

    Raises:
        UsageError, DataError, ModelError: bad input, or nothing that could go.
        OutputError: `out` exists and `force` is not set.

    Example:
        >>> from edgeai.pruning import prune
        >>> done = prune("model.onnx", "samples.npz", share=0.3, out="pruned.onnx")  # doctest: +SKIP
        >>> done.pruned.claim.drop, done.pruned.verdict  # doctest: +SKIP
    """
    from edgeai_converters.prune.pruning_spec import PruneSpec
    from edgeai_converters.pruning import prune_source

    is_path = isinstance(source, str | os.PathLike)
    given = {"": preprocess} if isinstance(preprocess, str) else dict(preprocess or {})
    spec = PruneSpec(
        source=Path(source) if is_path else Path(type(source).__name__),
        data=DataSpec(data=_text(data), calibration=_text(calibration_data), certification=_text(certification_data)),
        method=method,
        share=share,
        target_latency=target_latency,
        target_size=target_size,
        blocks=blocks,
        pattern=pattern,
        clusters=clusters,
        engine_format=engine_format,
        precision=precision,
        importance=importance,
        multiple_of=multiple_of,
        floor=floor,
        reconstruct=reconstruct,
        metric=metric,
        max_drop=max_drop,
        preprocessing={name: parse_steps(text) for name, text in given.items()},
        input_shapes={name: tuple(shape) for name, shape in (input_shapes or {}).items()},
        threads=threads,
        seed=seed,
    )
    target = Path(out) if out is not None else Path(f"{spec.source.stem}-pruned.onnx")
    if target.exists() and not force:
        raise OutputError(f"{target} exists already.", hint="Pass force=True to overwrite it.")
    folder = WorkFolder(Path(work) if work is not None else cache_folder() / "work")
    return prune_source(spec, target, folder, live=None if is_path else source, on_step=on_step)


def _text(path: PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)
