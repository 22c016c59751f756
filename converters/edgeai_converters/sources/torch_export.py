"""Exporting a live PyTorch module: example inputs from shapes or samples, and as many free dimensions as it allows."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_converters.require import require
from edgeai_converters.sources.probe import load_arrays
from edgeai_converters.sources.symbolic_sizes import FREE_SIZE, Dim
from edgeai_converters.sources.torch_write import TorchNet, first_line
from edgeai_runtime.errors import ModelError, UnsupportedOperationError, UsageError
from edgeai_runtime.manifest import TensorSpec

_EXTRA = "torch"
_BATCH = 2  # with 1, torch.export takes a free dimension for a fixed one
_MOST_TRIED = 4  # inputs whose types are all found by trying: 3 types each
_MOST_OTHER_TYPES = 2  # inputs that may not be float32 where there are more


def export_module(module: Any, request: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Export a module in evaluation mode, and return the program and notes.

    What is asked to be free and is not allowed to be, is fixed: first the dimensions beside the batch are left to
    torch.export to decide, then the batch is fixed to 1.

    Raises:
        UsageError: neither shapes nor samples, or names that `forward` does not have.
        ModelError: the module does not run on such inputs.
        UnsupportedOperationError: torch.export refuses the module.
    """
    torch = require("torch", extra=_EXTRA)
    tensors, free = examples_for(torch, module, request)
    if not any(free.values()):
        return _export(torch, module, tensors, None), []
    dims = torch.export.Dim
    batch = dims("batch", min=1, max=4096)
    strict = {name: {i: batch if i == 0 else dims.AUTO for i in axes} for name, axes in free.items()}
    auto = {name: dict.fromkeys(axes, dims.AUTO) for name, axes in free.items()}
    try:
        program = _export(torch, module, tensors, strict)
    except UnsupportedOperationError as first:
        try:
            program = _export(torch, module, tensors, auto)
        except UnsupportedOperationError:
            single = {name: tensor[:1] if 0 in free[name] else tensor for name, tensor in tensors.items()}
            program = _export(torch, module, single, None)
            return program, [f"The sizes are fixed, since the module does not export with free ones: {first.message}"]
    return program, _fixed_notes(program, tensors, free)


def module_net(module: Any, request: Mapping[str, Any]) -> TorchNet:
    """Return a live module as a network whose inputs are the arguments named in shapes or samples."""
    torch = require("torch", extra=_EXTRA)
    tensors, free = examples_for(torch, module, request)
    return net_of(tensors, free, lambda items: _call(torch, module, dict(zip(tensors, items, strict=True))), module)


def net_of(
    tensors: Mapping[str, Any],
    free: Mapping[str, Sequence[int]],
    call: Callable[[Sequence[Any]], list[Any]],
    module: Any = None,
) -> TorchNet:
    """Return a network from example inputs and their free dimensions; those that are tried with one size are one."""
    dims: dict[str, tuple[Dim, ...]] = {}
    specs = []
    for name, tensor in tensors.items():
        sizes = [int(size) for size in tensor.shape]
        axes = free[name]
        dims[name] = tuple(
            (("batch" if i == 0 or size == _BATCH else f"size_{size}") if i in axes else size)
            for i, size in enumerate(sizes)
        )
        shape = tuple(None if i in axes else size for i, size in enumerate(sizes))
        specs.append(TensorSpec(name=name, shape=shape, dtype=str(tensor.dtype).removeprefix("torch.")))
    limits = {f"size_{size}": (size, size) for tensor in tensors.values() for size in tensor.shape}
    return TorchNet(inputs=tuple(specs), dims=dims, limits=limits, call=call, module=module)


def examples_for(
    torch: Any, module: Any, request: Mapping[str, Any], names: Sequence[str] | None = None
) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Return example tensors by input name, and which of their dimensions are to be free.

    Args:
        torch: the package.
        module: takes the inputs by name; with `names`, in that order.
        request: `folder`, `samples`, `input_shapes`.
        names: the arguments, where `forward` does not tell them.

    Raises:
        UsageError: neither shapes nor samples, or names that are no arguments.
        ModelError: the module does not run on such inputs.
    """
    shapes: Mapping[str, Sequence[int]] = request["input_shapes"]
    arguments = names if names is not None else list(inspect.signature(module.forward).parameters)
    arrays = load_arrays(Path(request["folder"]) / "samples.npz", request["samples"]) if request["samples"] else {}
    wanted = list(arrays) or list(shapes)
    if not wanted:
        raise UsageError(
            f"A PyTorch module does not state the shape of its input. Its arguments: {', '.join(arguments)}.",
            hint=f"Give shapes, such as --shape {(*arguments, 'x')[0]}=1x3x32x32, or samples.",
        )
    for name in (*wanted, *shapes):
        if names is not None or "kwargs" not in arguments:
            _check_name(name, arguments)
    order = sorted(wanted, key=lambda name: arguments.index(name) if name in arguments else len(arguments))
    if arrays:
        tensors = {name: torch.from_numpy(np.ascontiguousarray(_two(arrays[name]))) for name in order}
        free = {name: _free_of_samples(tensors[name], shapes.get(name)) for name in order}
        tensors = {name: tensor if 0 in free[name] else tensor[:1] for name, tensor in tensors.items()}
        return tensors, free
    free = {name: tuple(i for i, size in enumerate(shapes[name]) if size <= 0) for name in order}
    tried = [
        {
            name: [size if size > 0 else (_BATCH if i == 0 else other) for i, size in enumerate(shapes[name])]
            for name in order
        }
        for other in (FREE_SIZE, _BATCH)  # the states of recurrent layers have the batch in their second dimension
    ]
    return _with_types(torch, module, tried, positional=names is not None), free


def _two(array: Any) -> Any:
    return array if array.ndim == 0 else array[:2] if len(array) > 1 else np.repeat(array, 2, 0)


def _free_of_samples(tensor: Any, shape: Sequence[int] | None) -> tuple[int, ...]:
    if not tensor.ndim:
        return ()
    if shape is None:
        return (0,)
    return tuple(i for i, size in enumerate(shape) if size <= 0)


def _check_name(name: str, arguments: Sequence[str]) -> None:
    if name not in arguments:
        raise UsageError(f"The module has no argument named {name!r}.", hint=f"Its arguments: {', '.join(arguments)}.")


def _with_others(types: Sequence[Any], n: int, count: int) -> Iterator[tuple[Any, ...]]:
    """Yield the choices of one type each for n inputs in which `count` of them are not of the first type."""
    first, *rest = types
    for places in itertools.combinations(range(n), count):
        for chosen in itertools.product(rest, repeat=count):
            given = dict(zip(places, chosen, strict=True))
            yield tuple(given.get(i, first) for i in range(n))


def _with_types(
    torch: Any, module: Any, tried: Sequence[Mapping[str, Sequence[int]]], *, positional: bool
) -> dict[str, Any]:
    """Return zeros of the sizes and types on which the module runs: as many float32 as possible, else int64 and bool.

    A float input that is given integers is cut off without a word, so what has fewer integers is tried first.
    """
    names = list(tried[0])
    types = (torch.float32, torch.int64, torch.bool)
    others = range(len(names) + 1 if len(names) <= _MOST_TRIED else _MOST_OTHER_TYPES + 1)
    combinations = (chosen for count in others for chosen in _with_others(types, len(names), count))
    failure: Exception | None = None
    for chosen, sizes in itertools.product(combinations, tried):
        tensors = {name: torch.zeros(*size, dtype=t) for (name, size), t in zip(sizes.items(), chosen, strict=True)}
        try:
            with torch.no_grad():
                module(*tensors.values()) if positional else module(**tensors)
        except Exception as error:  # torch raises whatever the module provokes
            failure = failure or error
        else:
            return tensors
    listed = ", ".join(f"{name} {list(size)}" for name, size in tried[0].items())
    assert failure is not None
    raise ModelError(
        f"The module does not run on zeros of {listed}: {type(failure).__name__}: {first_line(failure)}",
        hint="Correct the shapes, or give samples, which also show the types.",
    ) from failure


def _call(torch: Any, module: Any, tensors: Mapping[str, Any]) -> list[Any]:
    return list(torch.utils._pytree.tree_leaves(module(**tensors)))


def _export(torch: Any, module: Any, tensors: Mapping[str, Any], dynamic: Any) -> Any:
    try:
        return torch.export.export(module, (), kwargs=dict(tensors), dynamic_shapes=dynamic)
    except Exception as error:  # torch.export raises whatever the module provokes
        raise UnsupportedOperationError(
            f"torch.export cannot export the module: {type(error).__name__}: {first_line(error)}",
            hint="See torch.export's rules, or export the model to ONNX by other means and give that file.",
        ) from error


def _fixed_notes(program: Any, tensors: Mapping[str, Any], free: Mapping[str, Sequence[int]]) -> list[str]:
    """Tell which dimensions torch.export fixed although they were asked to be free."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    notes: list[str] = []
    for name in tensors:
        shape = getattr(values.get(name), "shape", ())
        fixed = [i for i in free[name] if i < len(shape) and isinstance(shape[i], int)]
        notes.extend(f"Dimension {i} of {name!r} is fixed to {shape[i]}: the module needs it." for i in fixed)
    return notes
