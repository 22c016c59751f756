"""The first stage: bring a source to the float graph, simplify it, and hold both against the source's own engine."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.convert.dequantized import to_float
from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.parity import Parity, measure_parity, require_parity
from edgeai_converters.graph.simplify import simplify
from edgeai_converters.quantize.carry_over import carry_over_tflite
from edgeai_converters.quantize.quantized_source import describe_quantization
from edgeai_converters.sources.detect import detect_source
from edgeai_converters.sources.files import source_files
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.table import import_source
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of, digest_of_path
from edgeai_runtime.bundle_arrays import npz_bytes, read_npz
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import TensorSpec

_LOG = logging.getLogger(__name__)

_MAX_REL = 1e-4
_MIN_COSINE = 0.99999
"""The gate of simplification: it may only round anew. Import has a gate of its own, against the source's engine."""

_GRAPH_FILE = "graph.onnx"
_CARRIED_FILE = "carried.onnx"
_REPORT_FILE = "import.json"
_INPUTS_FILE = "inputs.npz"
_OUTPUTS_FILE = "outputs.npz"


@dataclass(frozen=True, kw_only=True)
class FloatGraph:
    """A source as the simplified float graph.

    Attributes:
        model: the graph. Passes copy it before they change anything.
        digest: SHA-256 of the graph's file; everything made from it depends on this.
        kind: kind of source.
        source_sha256: digest of the source.
        route: steps from the source to the graph.
        parity: difference of the graph to the source's own engine.
        notes: what a user should know.
        probes: file with the inputs that parity was measured on, named like the graph's inputs.
        probe_inputs: its arrays.
        probe_outputs: outputs of the source's own engine for them, by output name; of the dequantized graph, when the
            source was quantized already.
        carried: of a source that was quantized already, the graph with its own integers.
    """

    model: ir.Model
    digest: str
    kind: str
    source_sha256: str
    route: tuple[str, ...]
    parity: Parity
    notes: tuple[str, ...]
    probes: Path
    probe_inputs: dict[str, NDArray[Any]]
    probe_outputs: dict[str, NDArray[Any]]
    carried: ir.Model | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs."""
        return input_specs(self.model)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs."""
        return output_specs(self.model)


def make_float_graph(
    source: Path | Any,
    work: WorkFolder,
    *,
    input_shapes: Mapping[str, tuple[int, ...]],
    samples: Mapping[str, NDArray[Any]] | None = None,
    seed: int = 0,
) -> FloatGraph:
    """Bring `source` (a path, or a live Keras or PyTorch model) to the simplified float graph.

    Raises:
        ModelError: the source cannot be read.
        ParityError: the graph does not compute what the source computes.
    """

    def build(folder: Path, sha256: str) -> None:
        imported = import_source(source, workdir=folder, samples=samples, input_shapes=dict(input_shapes), seed=seed)
        _write(imported, sha256, folder)
        carried = _carry_over(source, imported)
        if carried is not None:
            ir.save(carried, folder / _CARRIED_FILE)

    if not isinstance(source, Path):  # a live object has no bytes to know it by: made anew each time
        with tempfile.TemporaryDirectory(prefix="edgeai-live-") as made:
            build(Path(made), "")
            live = {"live": digest_of_path(Path(made)), "tools": tool_versions()}
            return _read(work.step("graph", live, lambda folder: _copy_files(Path(made), folder)))
    detect_source(source)  # a missing or foreign file is reported before anything is hashed
    sha256 = source_digest(source)
    shapes = {name: list(shape) for name, shape in input_shapes.items()}
    sampled = samples is not None and {name: list(array.shape) for name, array in samples.items()}
    key: dict[str, Any] = {
        "source": sha256,
        "shapes": shapes,
        "samples": sampled,
        "seed": seed,
        "tools": tool_versions(),
    }
    return _read(work.step("graph", key, lambda folder: build(folder, sha256)))


def _carry_over(source: Path | Any, imported: Imported) -> ir.Model | None:
    """Return the graph of a quantized source with its own integers; `None` for others and where that cannot be had."""
    if imported.kind == "tflite" and imported.quantized:
        try:
            return carry_over_tflite(source)
        except EdgeAIError as error:
            _LOG.info("the integers of %s are not carried over: %s", source, error.message)
            return None
    if describe_quantization(imported.model).form != "static":
        return None
    return simplify(imported.model)[0]


def _write(imported: Imported, source_sha256: str, folder: Path) -> None:
    imported, was_quantized = to_float(imported)
    graph_outputs = GraphRunner(imported.model).run(imported.probe_inputs)
    model, changed = simplify(imported.model)
    outputs = GraphRunner(model).run(imported.probe_inputs)
    require_parity(graph_outputs, outputs, what="graph → simplified graph", max_rel=_MAX_REL, min_cosine=_MIN_COSINE)
    parity = measure_parity(imported.probe_outputs, outputs)
    ir.save(model, folder / _GRAPH_FILE)
    reference = graph_outputs if was_quantized else imported.probe_outputs
    (folder / _INPUTS_FILE).write_bytes(npz_bytes(imported.probe_inputs))
    (folder / _OUTPUTS_FILE).write_bytes(npz_bytes(reference))
    report = {
        "kind": imported.kind,
        "source_sha256": source_sha256,
        "route": list(imported.route),
        "passes": changed,
        "notes": list(imported.notes),
        "parity": asdict(parity),
    }
    (folder / _REPORT_FILE).write_text(json.dumps(report, indent=1))


def source_digest(source: Path) -> str:
    """Return the SHA-256 of a source and of the files beside it that hold its weights (ONNX, OpenVINO)."""
    digests = [digest_of_path(file) for file in source_files(source)]
    return digests[0] if len(digests) == 1 else digest_of(digests)


def _copy_files(source: Path, target: Path) -> None:
    for file in source.iterdir():
        if file.is_file():
            shutil.copyfile(file, target / file.name)


def _read(folder: Path) -> FloatGraph:
    report = json.loads((folder / _REPORT_FILE).read_text())
    digest = digest_of_path(folder / _GRAPH_FILE)
    carried = folder / _CARRIED_FILE
    return FloatGraph(
        model=ir.from_proto(ir.to_proto(ir.load(folder / _GRAPH_FILE))),
        digest=digest,
        kind=report["kind"],
        source_sha256=report["source_sha256"] or digest,
        route=tuple(report["route"]),
        parity=Parity(**report["parity"]),
        notes=tuple(report["notes"]),
        probes=folder / _INPUTS_FILE,
        probe_inputs=read_npz(folder / _INPUTS_FILE, where="probe inputs"),
        probe_outputs=read_npz(folder / _OUTPUTS_FILE, where="probe outputs"),
        carried=ir.from_proto(ir.to_proto(ir.load(carried))) if carried.is_file() else None,
    )
