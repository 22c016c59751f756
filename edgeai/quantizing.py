"""`edgeai.quantizing.quantize`: one model in one format and one precision, as a plain file, in plain arguments.

One step of what `compress` does, by the same code: candidates of that precision are made, measured against float in
their engine and certified; the best one is written. Pre- and post-processing are not part of a plain file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_converters.progress import OnStep
from edgeai_converters.search.candidate import Candidate
from edgeai_runtime.errors import ModelError, OutputError, UsageError
from edgeai_runtime.manifest import PRECISIONS, Format, Precision

if TYPE_CHECKING:
    from edgeai.api import Data, Steps
    from edgeai_converters.recipe import Recipe
    from edgeai_converters.spec import BoundaryDtype, Repair

SUFFIXES: dict[Format, str] = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}
QUANTIZED: tuple[Precision, ...] = tuple(one for one in PRECISIONS if one != "float32")


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What came of it: the files written (the first is the one to open), the candidate, what a user should know."""

    files: tuple[Path, ...]
    candidate: Candidate
    float_size_bytes: int | None
    notes: tuple[str, ...]

    @property
    def broken(self) -> bool:
        """Whether more was lost than was allowed."""
        claim = self.candidate.certificate
        return claim is not None and claim.verdict == "violated"

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON document of `edgeai quantize --json`."""
        return {
            "artifact": str(self.files[0]),
            "files": [str(file) for file in self.files],
            "float_size_bytes": self.float_size_bytes,
            **self.candidate.to_json(),
            "notes": list(self.notes),
        }


def quantize(
    source: Any,
    data: Data = None,
    *,
    to: Format,
    precision: Precision = "int8",
    out: str | os.PathLike[str] | None = None,
    calibration_data: Data = None,
    certification_data: Data = None,
    metric: str | None = None,
    max_drop: float | None = None,
    repairs: Sequence[Repair] | None = None,
    exclude: Mapping[str, str] | None = None,
    boundary: BoundaryDtype = "float32",
    qoperator: bool = False,
    recipes: Sequence[Recipe] = (),
    preprocess: Steps = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    threads: int = 1,
    work: str | os.PathLike[str] | None = None,
    seed: int = 0,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Quantized:
    """Quantize a model, say what that cost and gave, and write the artifact.

    It is written even if it is slower than float or loses more than `max_drop`; `broken` says so.

    Args:
        source: path of a model of any kind of source, or a live Keras or PyTorch model.
        data: samples for ranges and for the certificate, as for `compress`; `float16` and `dynamic_int8` do without,
            and are certified by nothing then.
        to: `tflite`, `onnx` or `openvino`.
        precision: `float16`, `dynamic_int8`, `int8`, `int4` or `int16x8`.
        out: the file to write; by default `<source>-<precision>` with the format's suffix. The weights of OpenVINO go
            beside it.
        calibration_data, certification_data, metric, max_drop, repairs, exclude, boundary, qoperator, recipes,
            preprocess, input_shapes, threads, work, seed, on_step: as for `compress`; `max_drop` is only judged.
        force: overwrite.

    Raises:
        UsageError: an argument makes no sense.
        ModelError: the precision cannot be had of this model in this format; says why.
        DataError: the samples are missing or wrong.
        OutputError: a file exists and `force` is not set.

    Example:
        >>> from edgeai.quantizing import quantize
        >>> done = quantize("net.onnx", "samples.npz", to="tflite", precision="int8")  # doctest: +SKIP
        >>> done.candidate.certificate.drop  # doctest: +SKIP
    """
    from edgeai.api import compress

    if precision not in QUANTIZED:
        hint = "edgeai convert writes float32."
        raise UsageError(f"precision is one of {', '.join(QUANTIZED)}. Received: {precision!r}", hint=hint)
    stem = Path(source).stem if isinstance(source, str | os.PathLike) else type(source).__name__
    target = Path(out) if out is not None else Path(f"{stem}-{precision}{SUFFIXES[to]}")
    if target.suffix != SUFFIXES[to]:
        raise UsageError(f"an artifact of the format {to} ends in {SUFFIXES[to]}. Received: {target}")
    _require_free(target, force=force)
    result = compress(
        source,
        data,
        calibration_data=calibration_data,
        certification_data=certification_data,
        formats=(to,),
        precisions=(precision,),
        metric=metric,
        max_drop=max_drop,
        repairs=repairs,
        exclude=exclude,
        boundary=boundary,
        qoperator=qoperator,
        recipes=recipes,
        preprocess=preprocess,
        input_shapes=input_shapes,
        prune="never",
        threads=threads,
        work=work,
        seed=seed,
        on_step=on_step,
    )
    made = [one for one in result.candidates if one.recipe.precision == precision]
    best = min((one for one in made if one.artifact is not None), key=_rank, default=None)
    if best is None:
        reasons = "".join(f"\n  {one.id}: {one.reason}" for one in made) or " nothing of it was made"
        raise ModelError(f"{stem} cannot be had as {to} in {precision}:{reasons}")
    notes = [*result.to_json()["notes"], *best.notes]
    notes += [f"{best.id}: {best.reason}"] if best.status == "rejected" else []
    notes += ["preprocessing is not part of a plain file: whoever runs it does it"] if preprocess else []
    plain = [one.size_bytes for one in result.candidates if one.recipe.precision == "float32"]
    return Quantized(
        files=_write(best, target, force=force),
        candidate=best,
        float_size_bytes=next(iter(plain), None),
        notes=tuple(dict.fromkeys(notes)),
    )


def _rank(candidate: Candidate) -> tuple[bool, float, float]:
    """Return what the best one has least of: rejections, loss on the search split, latency."""
    lost = candidate.search_drop if candidate.search_drop is not None else 0.0
    return candidate.status == "rejected", lost, candidate.relative_latency or 0.0


def _write(candidate: Candidate, target: Path, *, force: bool) -> tuple[Path, ...]:
    """Copy the files of a candidate to `target` and beside it."""
    from edgeai_runtime.atomic import open_beside

    assert candidate.artifact is not None, "only what was made is chosen"
    first, *others = candidate.artifact.files
    names = {first: target, **{file: _beside(target, file) for file in others}}
    for file in names.values():
        _require_free(file, force=force)
    for source in (*others, first):  # the one to open comes last, when all is there
        with source.open("rb") as given, open_beside(names[source]) as written:
            shutil.copyfileobj(given, written)
    return tuple(names.values())


def _beside(target: Path, file: Path) -> Path:
    """Return where another file goes: OpenVINO finds weights by the name, ONNX by what stands in the model."""
    return target.with_suffix(".bin") if target.suffix == ".xml" else target.with_name(file.name)


def _require_free(path: Path, *, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise OutputError(f"{path} exists already.", hint="Choose another name, or overwrite it with --force.")
