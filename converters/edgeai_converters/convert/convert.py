"""Converting a source to one format, and explaining how that would go: the two verbs over the graph of routes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeai_converters.convert.carry import carry, not_quantized
from edgeai_converters.convert.gates import TOLERANCES
from edgeai_converters.convert.report import Conversion, Explanation
from edgeai_converters.convert.walk import Walk
from edgeai_converters.routes import SUFFIXES, routes_for
from edgeai_converters.sources.detect import detect_source
from edgeai_converters.spec import ConvertSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import OutputError, UsageError

OnStep = Callable[[int, int, str], None]


def convert(
    spec: ConvertSpec,
    out: Path,
    *,
    live_source: object | None = None,
    work: WorkFolder | None = None,
    on_step: OnStep | None = None,
    force: bool = False,
) -> Conversion:
    """Convert a source to one format; nothing is written that was not run and compared with its source.

    Args:
        spec: the source, the format and the precision.
        out: the file to write, with the format's suffix. OpenVINO writes a `.bin` beside it.
        live_source: a live Keras or PyTorch model in place of the file `spec.source`.
        work: where imports are kept for the next format; `None` keeps none.
        on_step: progress: `(done, total, label)`.
        force: replace files that exist.

    Raises:
        UsageError: static int8 of a source that is not quantized, which needs data, or an `out` of another suffix.
        OutputError: a file exists already, or the folder does not.
        UnsupportedOperationError: no route can do an operation; the message tells which and what was tried.
        ParityError: the artifact does not compute what the source computes; the message names the first wrong tensor
            where our own road wrote it.
    """
    _check_precision(spec, live=live_source is not None)
    _check_out(spec, out, force=force)
    tell = on_step or (lambda done, total, label: None)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}-") as folder:
        tell(0, 3, f"reading {spec.source.name}")
        if spec.precision == "int8":
            done = carry(spec, Path(folder), out.stem)
        else:
            walk = Walk(spec, Path(folder), out.stem, live=live_source, work=work)
            walk.prepare()
            if work is not None and work.reused:
                tell(0, 3, f"{spec.source.name} was read before: its graph is taken from {work.root}")
            tell(1, 3, f"writing {spec.format}")
            done = walk.write()
        tell(2, 3, "checked")
        files = tuple(out.parent / file.name for file in done.artifact.files)
        for written, file in reversed(list(zip(done.artifact.files, files, strict=True))):
            written.replace(file)  # the file that an engine opens comes last
        tell(3, 3, "done")
    reused = work is not None and work.reused > 0
    return replace(done, artifact=replace(done.artifact, files=files), reused=reused)


def explain(spec: ConvertSpec) -> Explanation:
    """Return the routes that `convert` would try, in their order, without running any.

    Raises:
        ModelError: the source is of no known kind.
        UsageError: static int8 of a kind of source that is never quantized.
    """
    _check_precision(spec)
    kind = detect_source(spec.source)
    routes = routes_for(kind, spec.format, precision=spec.precision)
    return Explanation(source=str(spec.source), kind=kind, format=spec.format, precision=spec.precision, routes=routes)


def _check_precision(spec: ConvertSpec, *, live: bool = False) -> None:
    """Refuse static int8 for kinds of source that hold no integers; whether a file does is found when it is read."""
    if spec.precision in TOLERANCES:
        return
    if spec.precision != "int8":
        raise UsageError(
            f"The precision {spec.precision} needs calibration data.",
            hint=f"Use: edgeai compress {spec.source} --data DATA --precision {spec.precision} --format {spec.format}",
        )
    if live or not routes_for(detect_source(spec.source), spec.format, precision=spec.precision):
        raise not_quantized(spec)


def _check_out(spec: ConvertSpec, out: Path, *, force: bool) -> None:
    format = spec.format
    if out.suffix != SUFFIXES[format]:
        raise UsageError(f"A file of the format {format} ends in {SUFFIXES[format]}. Received: {out}")
    if not out.parent.is_dir():
        raise OutputError(f"There is no folder {out.parent}.", hint="Make it first.")
    files = [out, out.with_suffix(".bin")] if format == "openvino" else [out]
    if any(file.resolve() == spec.source.resolve() for file in files):
        raise OutputError(f"{out} is the source itself, which is never overwritten.", hint="Name another file with -o.")
    for file in files:
        if file.exists() and not force:
            raise OutputError(f"{file} exists already.", hint="Give another name, or --force.")
