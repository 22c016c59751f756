"""Routes: which steps lead from a source to a format, what to try next, and `convert`, which walks them.

Our own road (source → graph → our writer) comes first. Where it lacks an operation, another tool takes over if there
is one. Every artifact is run in its engine and held against the source before it is put in place.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.calibrate.dataset import open_dataset
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import Parity, require_parity
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.sources.imported import Imported, SourceKind
from edgeai_converters.sources.keras_to_tflite import write_with_tensorflow
from edgeai_converters.sources.table import import_source
from edgeai_converters.spec import ConvertSpec
from edgeai_runtime.errors import ModelError, OutputError, ParityError, UnsupportedOperationError, UsageError
from edgeai_runtime.manifest import FORMATS, Format, Precision
from edgeai_runtime.model import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

OnStep = Callable[[int, int, str], None]

SUFFIXES: dict[Format, str] = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an artifact of one precision may be from its source on the probe inputs: a check for gross faults."""

    max_rel: float
    min_cosine: float


TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(max_rel=1e-3, min_cosine=0.9999),
    "float16": Tolerance(max_rel=5e-2, min_cosine=0.999),
    "dynamic_int8": Tolerance(max_rel=0.5, min_cosine=0.95),
}


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way from a kind of source to a format.

    Attributes:
        kind: the kind of source.
        format: the format written.
        steps: the steps, for reports.
        tool: `edgeai` for our own road, else whose converter does the work.
        extra: the extra that installs what it needs; empty when nothing more is needed.
    """

    kind: SourceKind
    format: Format
    steps: tuple[str, ...]
    tool: str = "edgeai"
    extra: str = ""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` did.

    Attributes:
        artifact: the files written.
        route: the steps that led there.
        parity: the artifact in its own engine against the source in its own.
        notes: what a user should know.
    """

    artifact: Artifact
    route: tuple[str, ...]
    parity: Parity
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeai convert --json`."""
        return {
            "artifact": str(self.artifact.path),
            "format": self.artifact.format,
            "route": list(self.route),
            "parity": asdict(self.parity),
            "files": [str(file) for file in self.artifact.files],
            "size_bytes": self.artifact.size_bytes,
            "operators": dict(self.artifact.operators),
            "notes": list(self.notes),
        }


_TO_GRAPH: dict[SourceKind, tuple[tuple[str, ...], str]] = {
    "keras": (("keras", "tf2onnx"), "keras"),
    "torch": (("torch.export", "torch.onnx"), "torch"),
    "onnx": (("onnx",), ""),
    "tflite": (("tflite",), "tflite"),
    "openvino": (("openvino reader",), "openvino"),
}
"""Kind of source → its steps to the graph, and the extra they need."""

_OTHER_TOOLS: tuple[Route, ...] = (
    Route(kind="keras", format="tflite", steps=("keras", "tensorflow"), tool="tensorflow", extra="keras"),
)


def routes_for(kind: SourceKind, format: Format) -> tuple[Route, ...]:
    """Return the routes from a kind of source to a format, the first to try first.

    >>> [route.tool for route in routes_for("keras", "tflite")]
    ['edgeai', 'tensorflow']
    """
    if kind not in _TO_GRAPH or format not in FORMATS:
        raise UsageError(f"There is no route from {kind!r} to {format!r}.", hint=f"Sources: {', '.join(_TO_GRAPH)}.")
    steps, extra = _TO_GRAPH[kind]
    own = Route(kind=kind, format=format, steps=(*steps, "simplify", f"emit {format}"), extra=extra)
    return (own, *(route for route in _OTHER_TOOLS if (route.kind, route.format) == (kind, format)))


def convert(spec: ConvertSpec, out: Path, *, on_step: OnStep | None = None, force: bool = False) -> Conversion:
    """Convert a source to one format; nothing is written that was not run and compared with its source.

    Args:
        spec: the source, the format and the precision.
        out: the file to write, with the format's suffix. OpenVINO writes a `.bin` beside it.
        on_step: progress: `(done, total, label)`.
        force: replace files that exist.

    Raises:
        UsageError: static int8, which needs data, or an `out` of another suffix.
        OutputError: a file exists already, or the folder does not.
        UnsupportedOperationError: no route can do an operation; the message tells which and what was tried.
        ParityError: the artifact does not compute what the source computes.
    """
    if spec.precision not in TOLERANCES:
        raise UsageError(
            f"The precision {spec.precision} needs calibration data.",
            hint=f"Use: edgeai compress {spec.source} --data DATA --precision {spec.precision} --format {spec.format}",
        )
    _check_out(spec.format, out, force=force)
    tell = on_step or (lambda done, total, label: None)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}-") as folder:
        tell(0, 4, f"reading {spec.source.name}")
        shapes = {name: tuple(shape) for name, shape in spec.input_shapes.items()}
        imported = import_source(spec.source, workdir=Path(folder), input_shapes=shapes, seed=spec.seed)
        tell(1, 4, "simplifying")
        model, _ = simplify(imported.model)
        inputs, reference = _probes(spec, imported, model)
        tell(2, 4, f"writing {spec.format}")
        done = _walk(spec, imported, model, inputs, reference, Path(folder), out.stem)
        tell(3, 4, "checked")
        files = tuple(out.parent / file.name for file in done.artifact.files)
        for written, file in reversed(list(zip(done.artifact.files, files, strict=True))):
            written.replace(file)  # the file that an engine opens comes last
        tell(4, 4, "done")
    artifact = replace(done.artifact, files=files)
    return Conversion(artifact=artifact, route=done.route, parity=done.parity, notes=done.notes)


def convert_graph(
    model: ir.Model, format: Format, folder: Path, *, precision: Precision = "float32", stem: str = "model"
) -> Artifact:
    """Write a simplified float graph in one format and a precision that needs no data.

    Raises:
        UsageError: static int8.
        UnsupportedOperationError: the format can not hold an operation of the graph.
    """
    if precision == "float16":
        model, _ = store_float16(model)
    elif precision == "dynamic_int8":
        model, _ = store_int8_weights(model, format=format)
    elif precision != "float32":
        raise UsageError(f"The precision {precision} needs calibration data.", hint="Use edgeai compress.")
    return emit(model, format, folder, stem=stem)


def check_artifact(
    artifact: Artifact,
    inputs: Mapping[str, NDArray[Any]],
    reference: Mapping[str, NDArray[Any]],
    *,
    precision: Precision,
    what: str,
) -> Parity:
    """Run an artifact in its own engine on the probe inputs and hold it against the source's outputs.

    Raises:
        ParityError: they differ by more than the precision explains.
    """
    with load(artifact.path, threads=1) as loaded:  # opened in a child process first
        order = [spec.name for spec in artifact.inputs]
        if {spec.name for spec in loaded.inputs} == set(order):
            order = [spec.name for spec in loaded.inputs]
        results = loaded.run_raw([inputs[name] for name in order])
        names = [spec.name for spec in artifact.outputs]
        if {spec.name for spec in loaded.outputs} == set(names):
            names = [spec.name for spec in loaded.outputs]
    tolerance = TOLERANCES[precision]
    outputs = dict(zip(names, (np.asarray(result) for result in results), strict=True))
    return require_parity(reference, outputs, what=what, max_rel=tolerance.max_rel, min_cosine=tolerance.min_cosine)


def _walk(
    spec: ConvertSpec,
    imported: Imported,
    model: ir.Model,
    inputs: Mapping[str, NDArray[Any]],
    reference: Mapping[str, NDArray[Any]],
    folder: Path,
    stem: str,
) -> Conversion:
    """Try the routes in turn; an operation that is not supported or a mismatch leads to the next."""
    failures: list[ModelError] = []
    for route in routes_for(imported.kind, spec.format):
        what = " → ".join(route.steps)
        place = folder / route.tool
        place.mkdir()
        try:
            if route.tool == "tensorflow":
                artifact = _with_tensorflow(spec, model, place, stem)
            else:
                artifact = convert_graph(model, spec.format, place, precision=spec.precision, stem=stem)
            parity = check_artifact(artifact, inputs, reference, precision=spec.precision, what=what)
        except (UnsupportedOperationError, ParityError) as error:
            logger.info("route %s: %s", what, error)
            failures.append(error)
            continue
        left = tuple(f"{failure.message} Took another route." for failure in failures)
        notes = (*imported.notes, *artifact.notes, *left)
        return Conversion(artifact=artifact, route=route.steps, parity=parity, notes=notes)
    if len(failures) == 1:
        raise failures[0]
    raise UnsupportedOperationError(
        "No route leads there. " + " ".join(f"({i}) {failure.message}" for i, failure in enumerate(failures, 1)),
        hint=failures[0].hint or "Another format may work.",
    ) from failures[0]


def _with_tensorflow(spec: ConvertSpec, model: ir.Model, folder: Path, stem: str) -> Artifact:
    path = folder / f"{stem}.tflite"
    write_with_tensorflow(spec.source, path, precision=spec.precision, workdir=folder)
    notes = ("Written by TensorFlow's converter.",)
    return Artifact(format="tflite", files=(path,), inputs=input_specs(model), outputs=output_specs(model), notes=notes)


def _probes(
    spec: ConvertSpec, imported: Imported, model: ir.Model
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return inputs and reference outputs: the source's own, and the graph's on the user's samples.

    The reference of a source that was quantized already is the graph: dequantized, it computes what it can not repeat.
    """
    reference = imported.probe_outputs
    if imported.quantized:
        reference = GraphRunner(model).run(imported.probe_inputs)
    if spec.samples is None:
        return imported.probe_inputs, reference
    dataset = open_dataset(spec.samples, inputs=input_specs(model))
    samples = next(iter(dataset.batches(np.arange(min(len(dataset), 8)), 8)))
    outputs = GraphRunner(model).run(samples)
    return (
        {name: np.concatenate([array, samples[name]]) for name, array in imported.probe_inputs.items()},
        {name: np.concatenate([array, outputs[name]]) for name, array in reference.items()},
    )


def _check_out(format: Format, out: Path, *, force: bool) -> None:
    if out.suffix != SUFFIXES[format]:
        raise UsageError(f"A file of the format {format} ends in {SUFFIXES[format]}. Received: {out}")
    if not out.parent.is_dir():
        raise OutputError(f"There is no folder {out.parent}.", hint="Make it first.")
    files = [out, out.with_suffix(".bin")] if format == "openvino" else [out]
    for file in files:
        if file.exists() and not force:
            raise OutputError(f"{file} exists already.", hint="Give another name, or --force.")
