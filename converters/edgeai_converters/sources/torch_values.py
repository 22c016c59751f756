"""Telling whether a network reads the values of its inputs while it runs (`int(x)`, `if x.sum() > 0`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def reads_values(torch: Any, call: Callable[[Sequence[Any]], list[Any]], examples: Sequence[Any]) -> bool:
    """Run a network once and say whether it takes a number out of a tensor that depends on its inputs.

    Sizes do not depend on the values of the inputs: a number that is made of them (a traced module holds `x.size(0)` as
    a tensor) is the same for all inputs of these shapes, and so may be kept in a recording.

    Args:
        torch: the package.
        call: takes tensors and returns tensors.
        examples: one tensor per input.
    """
    leaves = torch.utils._pytree.tree_leaves
    depends: dict[int, Any] = {}  # storages, so that a view and its base are one; held, so that no number is given anew

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc]
        read = False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            tensors = [item for item in leaves((args, kwargs or {})) if isinstance(item, torch.Tensor)]
            touched = any(tensor.untyped_storage()._cdata in depends for tensor in tensors)
            if touched and torch.Tag.data_dependent_output in func.tags:
                self.read = True
            result = func(*args, **(kwargs or {}))
            if touched:
                note(leaves(result))
                note(tensors if func._schema.is_mutable else ())
            return result

    def note(items: Sequence[Any]) -> None:
        for item in items:
            if isinstance(item, torch.Tensor):
                storage = item.untyped_storage()
                depends[storage._cdata] = storage

    note(examples)
    with torch.no_grad(), Watch() as watch:
        call(examples)
    return bool(watch.read)
