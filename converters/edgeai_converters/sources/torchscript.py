"""TorchScript as a source: `.pt` files (traced or scripted) in a child process, live script modules in this one.

torch.onnx (TorchScript) → the graph; where that fails, the operations of one run are recorded, exported by
torch.export, and written by torch.onnx (dynamo).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_converters.sources.imported import Imported
from edgeai_converters.sources.rename import rename_boundary
from edgeai_converters.sources.torch import imported_from, request_of
from edgeai_converters.sources.torch_export import examples_for, net_of
from edgeai_converters.sources.torch_names import output_names
from edgeai_converters.sources.torch_values import reads_values
from edgeai_converters.sources.torch_write import ONNX_FILE, answer_for, first_line, write_exported, write_traced
from edgeai_runtime.errors import ModelError, UnsupportedOperationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXTRA = "torch"


def import_torchscript(
    source: Path | object,
    *,
    workdir: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    way: str = "script",
) -> Imported:
    """Bring TorchScript to the graph, with its own outputs.

    Args:
        source: a file that `torch.jit.save` wrote, or a live `torch.jit.ScriptModule`. It does not tell the shapes of
            its inputs: `samples` or `input_shapes` must, named as the arguments of `forward`; types that are not
            float32 are found by trying, where no samples tell them.
        workdir: an existing folder for the ONNX file, probe files and the log.
        samples: arrays `[n, …]` ready for the model, by input name; drawn when not given.
        input_shapes: shapes by input name; -1 keeps a dimension free.
        seed: seed of drawn inputs.
        way: `script` or `record`.

    Returns:
        A graph with the names of the arguments. Outputs have the keys of a dictionary or the fields of a named tuple;
        those of a plain tuple have no names in the file, and are `output_0`, `output_1`, ….

    Raises:
        ModelError: PyTorch cannot read or run the file, or an argument is no tensor.
        UnsupportedOperationError: this way does not lead to the graph.
        UsageError: no shapes, or names that are no arguments.
        MissingEngineError: PyTorch or onnxscript is not installed.
    """
    request = request_of(workdir, samples, input_shapes, seed, way)
    if isinstance(source, Path):
        request["path"] = str(source.resolve())
        task = "edgeai_converters.sources.torchscript:convert_file"
        answer = run_in_child(task, request, workdir=workdir, what=f"PyTorch reading {source}")
    else:
        answer = convert_script(source, request)
    return imported_from("torchscript", way, workdir, answer)


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Load a TorchScript file and convert it; the task of the child process."""
    torch = require("torch", extra=_EXTRA)
    torch.set_num_threads(1)
    path = request["path"]
    try:
        script = torch.jit.load(path, map_location="cpu")
    except Exception as error:  # torch raises whatever the file provokes
        raise ModelError(
            f"PyTorch {torch.__version__} cannot read {path}: {type(error).__name__}: {first_line(error)}",
            hint="Copy a damaged file again; operators of other packages must be left out of the module.",
        ) from error
    return convert_script(script, request)


def convert_script(script: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run a script module on probe inputs and write it as ONNX, in evaluation mode."""
    torch = require("torch", extra=_EXTRA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training = script.training
        script.eval()
        try:
            names = _arguments(script)
            tensors, free = examples_for(torch, script, request, names)
            leaves = torch.utils._pytree.tree_leaves
            folder = Path(request["folder"])
            with torch.no_grad():
                known = output_names(script(*tensors.values()), taken=names)

            def call(items: Sequence[Any]) -> list[Any]:
                return list(leaves(script(*items)))

            if request["way"] == "record":
                return _by_recording(torch, call, tensors, free, request, known)
            net = net_of(tensors, free, call)
            return answer_for(
                net,
                request,
                lambda examples, n: write_traced(script, examples, net.inputs, known or _outputs(n), folder),
            )
        finally:
            script.train(training)


def _arguments(script: Any) -> list[str]:
    """Return the names of the arguments of `forward`, all of which must be tensors."""
    names = []
    for argument in script.forward.schema.arguments[1:]:
        kind = str(argument.type)
        if kind not in ("Tensor", "Optional[Tensor]"):
            if argument.has_default_value():
                break
            raise ModelError(
                f"The argument {argument.name!r} of the TorchScript module is a {kind}, no tensor.",
                hint="Wrap the module in one whose forward takes tensors only, and script or trace that.",
            )
        names.append(str(argument.name))
    return names


def _outputs(n: int) -> list[str]:
    return [f"output_{i}" for i in range(n)]


def _by_recording(
    torch: Any,
    call: Callable[[Sequence[Any]], list[Any]],
    tensors: Mapping[str, Any],
    free: Mapping[str, Sequence[int]],
    request: dict[str, Any],
    known: list[str] | None,
) -> dict[str, Any]:
    """Record one run as an exported program, with free dimensions where that works, and write that."""
    folder = Path(request["folder"])
    notes = []
    try:
        program = _program(torch, call, tensors, free)
    except Exception as first:  # torch.export raises whatever the operations provoke
        if not any(free.values()):
            raise _refused(first) from first
        tensors = {name: tensor[:1] if 0 in free[name] else tensor for name, tensor in tensors.items()}
        free = dict.fromkeys(tensors, ())
        try:
            program = _program(torch, call, tensors, free)
        except Exception as error:
            raise _refused(error) from error
        notes = [f"The sizes are fixed, since recorded operations hold them: {first_line(first)}"]

    def write(examples: Sequence[Any], n: int) -> list[str]:
        write_exported(program, folder)
        proto = onnx.load(str(folder / ONNX_FILE))
        old = [value.name for value in proto.graph.input]
        names = known or _outputs(n)
        rename_boundary(proto, dict(zip(old, tensors, strict=True)), names)
        onnx.save(proto, str(folder / ONNX_FILE))
        return names

    answer = answer_for(net_of(tensors, free, call), request, write)
    return {**answer, "notes": [*notes, *answer["notes"]]}


def _program(
    torch: Any,
    call: Callable[[Sequence[Any]], list[Any]],
    tensors: Mapping[str, Any],
    free: Mapping[str, Sequence[int]],
) -> Any:
    record = require("torch.fx.experimental.proxy_tensor", extra=_EXTRA).make_fx
    examples = tuple(tensors.values())
    strict = reads_values(torch, call, examples)  # else numbers that are read come of sizes and stay what they are
    with torch.no_grad():
        module = record(
            lambda *items: tuple(call(items)),
            tracing_mode="real",
            pre_dispatch=True,
            _error_on_data_dependent_ops=strict,
        )(*examples)
    dynamic = None
    if any(free.values()):
        dim = torch.export.Dim
        batch = dim("batch", min=1, max=4096)
        dynamic = tuple({i: batch if i == 0 else dim.AUTO for i in free[name]} for name in tensors)
    return torch.export.export(module, examples, dynamic_shapes=dynamic)


def _refused(error: Exception) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        f"torch.export cannot take the recorded TorchScript module: {type(error).__name__}: {first_line(error)}",
        hint="Export the module itself with torch.export, or to ONNX, and give that file.",
    )
