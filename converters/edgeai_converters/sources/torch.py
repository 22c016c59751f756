"""PyTorch as a source: `.pt2` files in a child process, live modules and exported programs in this one.

torch.export → torch.onnx (dynamo) → the graph. A free batch stays free; inputs keep their names and layout (NCHW).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.graph.shapes import fix_shapes
from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.probe import load_arrays, probe_inputs, run_in_pieces, save_arrays
from edgeai_runtime.errors import ModelError, UsageError
from edgeai_runtime.manifest import TensorSpec

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
) -> Imported:
    """Bring a `.pt2` file, an exported program or a live module to the graph, with PyTorch's own outputs.

    Args:
        source: a `.pt2` file, a `torch.export.ExportedProgram`, or a `torch.nn.Module` (exported in evaluation mode,
            its training flag is restored). A module needs `samples` or `input_shapes`, in the order of its arguments.
        workdir: an existing folder for the ONNX file, probe files and the log.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name; for a module the first dimension is the batch, which stays free when the
            module allows it (-1 or more than 1) and is fixed when it is given as 1.
        seed: seed of drawn inputs.

    Raises:
        ModelError: PyTorch can not read, export or run the model.
        UsageError: a live module without shapes or samples.
        MissingEngineError: PyTorch or onnxscript is not installed.
    """
    shapes = {name: [int(size) for size in shape] for name, shape in (input_shapes or {}).items()}
    sample_names = save_arrays(workdir / "samples.npz", samples) if samples is not None else None
    request = {"folder": str(workdir.resolve()), "samples": sample_names, "input_shapes": shapes, "seed": seed}
    if isinstance(source, Path):
        request["path"] = str(source.resolve())
        answer = run_in_child(
            "edgeai_converters.sources.torch:convert_file", request, workdir=workdir, what=f"PyTorch reading {source}"
        )
    else:
        answer = convert_live(source, request)
    model = prepare_graph(onnx.load(str(workdir / "torch.onnx")), what="the PyTorch model")
    return Imported(
        kind="torch",
        model=fix_shapes(model, shapes),
        probe_inputs=load_arrays(workdir / "probe_inputs.npz", answer["inputs"]),
        probe_outputs=load_arrays(workdir / "probe_outputs.npz", answer["outputs"]),
        route=("torch.export", "torch.onnx"),
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
            f"PyTorch {torch.__version__} can not read {path}: {type(error).__name__}: {_first_line(error)}",
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
            program, notes = _export(torch, source.eval(), request)
        finally:
            source.train(training)
        answer = convert_program(program, request)
    return {**answer, "notes": [*notes, *answer["notes"]]}


def convert_program(program: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run an exported program on probe inputs and write it as ONNX.

    Args:
        program: a `torch.export.ExportedProgram`.
        request: `folder` (written: `torch.onnx`, `probe_inputs.npz`, `probe_outputs.npz`), `samples` (names in
            `samples.npz` or `None`), `input_shapes`, `seed`.

    Returns:
        `inputs` and `outputs`: the names, in order; `notes`.
    """
    torch = require("torch", extra=_EXTRA)
    require("onnxscript", extra=_EXTRA)
    folder = Path(request["folder"])
    samples = load_arrays(folder / "samples.npz", request["samples"]) if request["samples"] else None
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        exported = torch.onnx.export(program, (), dynamo=True, verbose=False, external_data=False)
        exported.save(str(folder / "torch.onnx"), external_data=False)
    except Exception as error:  # the exporter raises whatever the program provokes
        raise ModelError(
            f"torch.onnx can not convert the program: {type(error).__name__}: {_first_line(error)}",
            hint="Export the model to ONNX by other means and give that file.",
        ) from error
    finally:
        logger.setLevel(level)
    graph = exported.model_proto.graph
    specs = _specs(program)
    inputs = probe_inputs(specs, samples=samples, input_shapes=request["input_shapes"], seed=request["seed"])
    with torch.no_grad():
        arrays = run_in_pieces(specs, inputs, lambda feed: _run(torch, program, feed))
    names = [value.name for value in graph.output]
    if [value.name for value in graph.input] != [spec.name for spec in specs] or len(names) != len(arrays):
        raise ModelError("torch.onnx gave the program other inputs or outputs than it has.", hint="Please report it.")
    return {
        "inputs": save_arrays(folder / "probe_inputs.npz", inputs),
        "outputs": save_arrays(folder / "probe_outputs.npz", dict(zip(names, arrays, strict=True))),
        "notes": [],
    }


def _run(torch: Any, program: Any, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    pytree = torch.utils._pytree
    tensors = [torch.from_numpy(array.copy()) for array in feed.values()]
    args, kwargs = pytree.tree_unflatten(tensors, program.call_spec.in_spec)
    return [item.numpy() for item in pytree.tree_leaves(program.module()(*args, **kwargs))]


def _export(torch: Any, module: Any, request: dict[str, Any]) -> tuple[Any, list[str]]:
    """Export a module with a free batch, or, where the module does not allow it, with a fixed one."""
    folder = Path(request["folder"])
    if request["samples"]:
        arrays = load_arrays(folder / "samples.npz", request["samples"])
        examples = {name: array[:2] if len(array) > 1 else np.repeat(array, 2, 0) for name, array in arrays.items()}
    elif request["input_shapes"]:
        examples = {name: np.zeros((2, *shape[1:]), np.float32) for name, shape in request["input_shapes"].items()}
    else:
        raise UsageError(
            "A live PyTorch module does not tell the shape of its input.",
            hint='Give input_shapes={"x": (-1, 3, 32, 32)} named as the arguments of forward, or samples.',
        )
    fixed = {name for name, shape in request["input_shapes"].items() if shape[0] == 1}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in examples.items()}
    if fixed:
        return _try_export(torch, module, {name: tensor[:1] for name, tensor in tensors.items()}, None), []
    batch = torch.export.Dim("batch", min=1, max=4096)
    try:
        return _try_export(torch, module, tensors, {name: {0: batch} for name in tensors}), []
    except ModelError as error:
        single = {name: tensor[:1] for name, tensor in tensors.items()}
        program = _try_export(torch, module, single, None)
        return program, [f"The batch is fixed to 1, since the module does not export with a free one: {error.message}"]


def _try_export(torch: Any, module: Any, tensors: dict[str, Any], dynamic: Any) -> Any:
    try:
        return torch.export.export(module, (), kwargs=tensors, dynamic_shapes=dynamic)
    except Exception as error:  # torch.export raises whatever the module provokes
        raise ModelError(
            f"torch.export can not export the module: {type(error).__name__}: {_first_line(error)}",
            hint="Names in input_shapes or samples must be the arguments of forward; see torch.export's rules.",
        ) from error


def _specs(program: Any) -> list[TensorSpec]:
    """Return the user inputs of an exported program; symbolic sizes are free."""
    names = list(program.graph_signature.user_inputs)
    tensors = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    specs = []
    for name in names:
        tensor = tensors.get(name)
        if tensor is None or not hasattr(tensor, "shape"):
            raise ModelError(f"The input {name!r} of the program is no tensor.", hint="Only tensors are supported.")
        shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
        specs.append(TensorSpec(name=name, shape=shape, dtype=str(tensor.dtype).removeprefix("torch.")))
    return specs


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:500]
