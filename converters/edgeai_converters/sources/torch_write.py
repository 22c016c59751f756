"""Running a PyTorch network on probe inputs and writing it as ONNX, by either of PyTorch's two exporters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgeai_converters.graph.prepare import OPSET
from edgeai_converters.require import require
from edgeai_converters.sources.probe import load_arrays, probe_linked_inputs, run_in_pieces, save_arrays
from edgeai_converters.sources.rename import rename_boundary
from edgeai_converters.sources.symbolic_sizes import Dim, spread_sizes
from edgeai_converters.sources.torch_fused import decompositions
from edgeai_runtime.errors import ModelError, UnsupportedOperationError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONNX_FILE = "source.onnx"
_EXTRA = "torch"


@dataclass(frozen=True, kw_only=True)
class TorchNet:
    """A PyTorch network with a flat list of inputs and outputs.

    Attributes:
        inputs: its inputs, free dimensions `None`.
        dims: their dimensions by input name; equal names are equal sizes.
        limits: least and largest size by name.
        call: takes tensors in the order of `inputs` and returns the outputs in order.
        module: the module that `call` calls, whose parameters are to be seen when it is traced.
    """

    inputs: tuple[TensorSpec, ...]
    dims: Mapping[str, tuple[Dim, ...]]
    limits: Mapping[str, tuple[int, int]]
    call: Callable[[Sequence[Any]], list[Any]]
    module: Any = None


def answer_for(
    net: TorchNet, request: Mapping[str, Any], write: Callable[[list[Any], int], list[str]]
) -> dict[str, Any]:
    """Run a network on probe inputs, write it, and return the answer of a child.

    Args:
        net: the network.
        request: `folder` (written: `probe_inputs.npz`, `probe_outputs.npz`), `samples` (names in `samples.npz` or
            `None`), `input_shapes`, `seed`.
        write: writes `source.onnx`; takes example tensors in the order of the inputs (a batch of 2 where it is free)
            and the number of outputs, and returns the outputs' names.

    Returns:
        `inputs` and `outputs`: the names, in order; `shapes`: what the shapes that were given fix, by input name.
    """
    torch = require("torch", extra=_EXTRA)
    folder = Path(request["folder"])
    samples = load_arrays(folder / "samples.npz", request["samples"]) if request["samples"] else None
    inputs, per_sample = probe_linked_inputs(
        net.inputs,
        dims=net.dims,
        limits=net.limits,
        samples=samples,
        input_shapes=request["input_shapes"],
        seed=request["seed"],
    )

    def run(feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        tensors = [torch.from_numpy(np.array(array)) for array in feed.values()]
        return [np.asarray(item.detach().numpy()) for item in net.call(tensors)]

    ordered = {spec.name: inputs[spec.name] for spec in net.inputs}
    try:
        with torch.no_grad():
            arrays = run_in_pieces(net.inputs, ordered, run) if per_sample else run(ordered)
    except Exception as error:  # torch raises whatever the network provokes
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in ordered.items())
        raise ModelError(
            f"PyTorch cannot run the network on {shapes}: {type(error).__name__}: {first_line(error)}",
            hint="Give the shapes of its inputs, or samples.",
        ) from error
    examples = [torch.from_numpy(np.array(_example(ordered[spec.name], spec, per_sample))) for spec in net.inputs]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = write(examples, len(arrays))
    if len(names) != len(arrays):
        raise UnsupportedOperationError(f"torch.onnx wrote {len(names)} outputs; the network has {len(arrays)}.")
    return {
        "inputs": save_arrays(folder / "probe_inputs.npz", ordered),
        "outputs": save_arrays(folder / "probe_outputs.npz", dict(zip(names, arrays, strict=True))),
        "shapes": spread_sizes(net.dims, request["input_shapes"]),
        "notes": [],
    }


def write_exported(program: Any, folder: Path, *, names: Sequence[str] | None = None) -> list[str]:
    """Write an exported program as ONNX (torch.onnx, dynamo), and return the outputs' names.

    Args:
        program: the program.
        folder: where `source.onnx` is written.
        names: names of the outputs, where they are known; by default those that torch.onnx gives.

    Raises:
        UnsupportedOperationError: torch.onnx cannot convert it.
    """
    torch = require("torch", extra=_EXTRA)
    require("onnxscript", extra=_EXTRA)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        fused = {op: plain for op, plain in decompositions(torch).items() if _uses(program, op)}
        if fused:
            program = program.run_decompositions(fused)
        exported = torch.onnx.export(program, (), dynamo=True, verbose=False, external_data=False)
        exported.save(str(folder / ONNX_FILE), external_data=False)
    except Exception as error:  # the exporter raises whatever the program provokes
        raise UnsupportedOperationError(
            f"torch.onnx cannot convert the program: {type(error).__name__}: {first_line(error)}",
            hint="Export the model to ONNX by other means and give that file.",
        ) from error
    finally:
        logger.setLevel(level)
    graph = exported.model_proto.graph
    if [value.name for value in graph.input] != list(program.graph_signature.user_inputs):
        raise UnsupportedOperationError("torch.onnx gave the program other inputs than it has.")
    if names is not None and len(names) == len(graph.output):
        proto = onnx.load(str(folder / ONNX_FILE))
        rename_boundary(proto, {}, names)
        onnx.save(proto, str(folder / ONNX_FILE))
        return list(names)
    return [value.name for value in graph.output]


def write_traced(
    module: Any, examples: Sequence[Any], inputs: Sequence[TensorSpec], outputs: Sequence[str], folder: Path
) -> list[str]:
    """Write a module or TorchScript as ONNX (torch.onnx, TorchScript), and return the outputs' names.

    Raises:
        UnsupportedOperationError: torch.onnx cannot convert it.
    """
    torch = require("torch", extra=_EXTRA)
    free = {
        spec.name: {
            i: "batch" if i == 0 else f"{spec.name}_dim{i}" for i, size in enumerate(spec.shape) if size is None
        }
        for spec in inputs
    }
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        torch.onnx.export(
            module,
            tuple(examples),
            str(folder / ONNX_FILE),
            dynamo=False,
            opset_version=OPSET,
            input_names=[spec.name for spec in inputs],
            output_names=list(outputs),
            dynamic_axes={name: named for name, named in free.items() if named},
        )
    except Exception as error:  # the exporter raises whatever the module provokes
        raise UnsupportedOperationError(
            f"torch.onnx cannot convert the traced module: {type(error).__name__}: {first_line(error)}",
            hint="Export the model to ONNX by other means and give that file.",
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    _forget_shapes(folder / ONNX_FILE)
    return list(outputs)


def _forget_shapes(path: Path) -> None:
    """Leave out the shapes that the exporter noted of the traced run: they hold its batch."""
    proto = onnx.load(str(path))
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    onnx.save(proto, str(path))


def program_net(program: Any) -> TorchNet:
    """Return an exported program as a network with flat inputs.

    Raises:
        ModelError: an input is no tensor.
    """
    torch = require("torch", extra=_EXTRA)
    names = list(program.graph_signature.user_inputs)
    tensors = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    specs, dims = [], {}
    for name in names:
        tensor = tensors.get(name)
        if tensor is None or not hasattr(tensor, "shape"):
            raise ModelError(f"The input {name!r} of the program is no tensor.", hint="Only tensors are supported.")
        dims[name] = tuple(size if isinstance(size, int) else str(size) for size in tensor.shape)
        shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
        specs.append(TensorSpec(name=name, shape=shape, dtype=str(tensor.dtype).removeprefix("torch.")))
    module = program.module()
    pytree = torch.utils._pytree

    def call(items: Sequence[Any]) -> list[Any]:
        args, kwargs = pytree.tree_unflatten(list(items), program.call_spec.in_spec)
        return list(pytree.tree_leaves(module(*args, **kwargs)))

    return TorchNet(inputs=tuple(specs), dims=dims, limits=_limits(program), call=call, module=module)


def traceable(torch: Any, net: TorchNet) -> Any:
    """Return a module that takes and gives flat tensors."""

    class Flat(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = net.module

        def forward(self, *items: Any) -> tuple[Any, ...]:
            return tuple(net.call(items))

        def train(self, mode: bool = True) -> Any:
            self.training = mode  # the module is in evaluation mode already, and exported programs refuse to be told
            return self

    return Flat().eval()


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, cut to 500 characters."""
    return (str(error).strip().splitlines() or [""])[0][:500]


def _example(array: NDArray[Any], spec: TensorSpec, per_sample: bool) -> NDArray[Any]:
    if not per_sample or not array.ndim:
        return array
    return array[: 2 if spec.shape[0] is None else spec.shape[0]]


def _limits(program: Any) -> dict[str, tuple[int, int]]:
    limits = {}
    for symbol, interval in program.range_constraints.items():
        least, most = (
            int(end) if end.is_Integer else big for end, big in ((interval.lower, 1), (interval.upper, 1 << 30))
        )
        limits[str(symbol)] = (max(least, 1), most)
    return limits


def _uses(program: Any, op: Any) -> bool:
    return any(node.op == "call_function" and node.target is op for node in program.graph.nodes)
