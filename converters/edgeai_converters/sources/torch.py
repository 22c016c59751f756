"""PyTorch as a source: `.pt2` files in a child process, live modules and exported programs in this one.

torch.export → torch.onnx (dynamo) → the graph; where that fails, the module is traced. Free dimensions stay free;
inputs keep their names and layout (NCHW).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported, SourceKind
from edgeai_converters.sources.probe import load_arrays, save_arrays
from edgeai_converters.sources.torch_export import export_module, module_net
from edgeai_converters.sources.torch_names import output_names
from edgeai_converters.sources.torch_write import (
    ONNX_FILE,
    answer_for,
    first_line,
    program_net,
    traceable,
    write_exported,
    write_traced,
)
from edgeai_converters.sources.ways import ways_of
from edgeai_runtime.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXTRA = "torch"


def import_torch(
    source: Path | object,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    way: str = "export",
) -> Imported:
    """Bring a `.pt2` file, an exported program or a live module to the graph, with PyTorch's own outputs.

    Args:
        source: a `.pt2` file, a `torch.export.ExportedProgram`, or a `torch.nn.Module` (exported in evaluation mode,
            its training flag is restored). A module needs `samples` or `input_shapes`, named as the arguments of
            `forward`; types that are not float32 are found by trying, where no samples tell them.
        workdir: an existing folder for the ONNX file, probe files and the log.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name; -1 keeps a dimension free where the module allows it.
        seed: seed of drawn inputs.
        way: `export` or `trace`.

    Raises:
        ModelError: PyTorch cannot read or run the model.
        UnsupportedOperationError: this way does not lead to the graph.
        UsageError: a live module without shapes or samples.
        MissingEngineError: PyTorch or onnxscript is not installed.
    """
    request = request_of(workdir, samples, input_shapes, seed, way)
    if isinstance(source, Path):
        request["path"] = str(source.resolve())
        answer = run_in_child(
            "edgeai_converters.sources.torch:convert_file", request, workdir=workdir, what=f"PyTorch reading {source}"
        )
    else:
        answer = convert_live(source, request)
    return imported_from("torch", way, workdir, answer)


def request_of(
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None,
    input_shapes: Mapping[str, Sequence[int]] | None,
    seed: int,
    way: str,
) -> dict[str, Any]:
    """Return what a child is asked, with the samples written to `samples.npz`."""
    return {
        "folder": str(workdir.resolve()),
        "samples": save_arrays(workdir / "samples.npz", samples) if samples is not None else None,
        "input_shapes": {name: [int(size) for size in shape] for name, shape in (input_shapes or {}).items()},
        "seed": seed,
        "way": way,
    }


def imported_from(kind: SourceKind, way: str, workdir: Path, answer: Mapping[str, Any]) -> Imported:
    """Return the graph that a child wrote to `workdir`, with the source's outputs."""
    model = prepare_graph(onnx.load(str(workdir / ONNX_FILE)), what="the PyTorch model")
    return Imported(
        kind=kind,
        model=fix_shapes(model, answer["shapes"]),
        probe_inputs=load_arrays(workdir / "probe_inputs.npz", answer["inputs"]),
        probe_outputs=load_arrays(workdir / "probe_outputs.npz", answer["outputs"]),
        route=next(entry.steps for entry in ways_of(kind) if entry.name == way),
        notes=tuple(answer["notes"]),
    )


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Load a `.pt2` file and convert it; the task of the child process."""
    torch = require("torch", extra=_EXTRA)
    torch.set_num_threads(1)
    path = request["path"]
    try:
        program = torch.export.load(path)
    except Exception as error:  # torch raises whatever the file provokes
        raise ModelError(
            f"PyTorch {torch.__version__} cannot read {path}: {type(error).__name__}: {first_line(error)}",
            hint="Copy a damaged file again; a file of another PyTorch version must be exported again.",
        ) from error
    return convert_program(program, request)


def convert_live(source: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Export a live module, or take an exported program as it is, and convert it."""
    torch = require("torch", extra=_EXTRA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not isinstance(source, torch.nn.Module):
            return convert_program(source, request)
        training = source.training
        try:
            if request["way"] == "trace":
                net = module_net(source.eval(), request)
                return answer_for(net, request, lambda examples, n: _trace(torch, net, examples, n, request))
            program, notes = export_module(source.eval(), request)
            answer = convert_program(program, request)
        finally:
            source.train(training)
    return {**answer, "notes": [*notes, *answer["notes"]]}


def convert_program(program: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run an exported program on probe inputs and write it as ONNX; see `answer_for`."""
    torch = require("torch", extra=_EXTRA)
    net = program_net(program)
    if request["way"] == "trace":
        return answer_for(net, request, lambda examples, n: _trace(torch, net, examples, n, request))
    known = _known_outputs(torch, program)
    return answer_for(net, request, lambda examples, n: write_exported(program, Path(request["folder"]), names=known))


def _known_outputs(torch: Any, program: Any) -> list[str] | None:
    """Return the names that the program's own structure of outputs tells."""
    spec = program.call_spec.out_spec
    structure = torch.utils._pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    return output_names(structure, taken=program.graph_signature.user_inputs)


def _trace(torch: Any, net: Any, examples: Sequence[Any], n: int, request: Mapping[str, Any]) -> list[str]:
    names = [f"output_{i}" for i in range(n)]
    return write_traced(traceable(torch, net), examples, net.inputs, names, Path(request["folder"]))
