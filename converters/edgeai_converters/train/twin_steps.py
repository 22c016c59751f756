"""Translating a graph into the steps of its twin: for every node what runs, what it reads, what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.units import node_keys
from edgeai_converters.train.ops import sizes
from edgeai_converters.train.ops.table import HOUSE_DOMAIN, HOUSE_OPERATORS, OPERATORS
from edgeai_converters.train.ops.view import NodeView, Run
from edgeai_runtime.errors import UnsupportedOperationError


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node, ready to run.

    Attributes:
        run: what computes it.
        reads: names of the values it is given, `None` for inputs that are absent or settings.
        makes: names of its outputs, `None` for those nobody asked for.
        forgets: names of values that no later step reads.
    """

    run: Run
    reads: tuple[str | None, ...]
    makes: tuple[str | None, ...]
    forgets: tuple[str, ...] = ()


def make_steps(model: ir.Model, torch: Any) -> list[Step]:
    """Return the steps of a graph, in its order.

    Raises:
        UnsupportedOperationError: the twin has no such operator, or not in this form; the message names the node.
    """
    host: set[ir.Value] = set()
    steps = [_step(node, key, torch, host) for node, key in node_keys(model).items()]
    kept = {str(value.name) for value in (*model.graph.inputs, *model.graph.outputs)} | set(model.graph.initializers)
    last = {name: i for i, step in enumerate(steps) for name in (*step.reads, *step.makes) if name and name not in kept}
    forgotten: dict[int, list[str]] = {}
    for name, i in last.items():
        forgotten.setdefault(i, []).append(name)
    return [
        Step(run=step.run, reads=step.reads, makes=step.makes, forgets=tuple(forgotten.get(i, ())))
        for i, step in enumerate(steps)
    ]


def _step(node: ir.Node, key: str, torch: Any, host: set[ir.Value]) -> Step:
    view = NodeView(torch=torch, node=node, key=key)
    if node.op_type in ("Shape", "Size"):
        host.update(node.outputs)
    if _stays_on_host(node, host):
        host.update(node.outputs)
        return _host_step(view)
    tables = {"": OPERATORS, "ai.onnx": OPERATORS, HOUSE_DOMAIN: HOUSE_OPERATORS}
    build = tables.get(node.domain, {}).get(node.op_type)
    if build is None:
        name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        raise UnsupportedOperationError(
            f"The trainable twin has no operator {name}; the node {key!r} needs it.",
            hint="Compress without training, or write this part of the model with other operators.",
        )
    run = _with_tensors(view, build(view), host)
    return Step(
        run=run,
        reads=tuple(
            None if value is None or index in view.settings else value.name for index, value in enumerate(node.inputs)
        ),
        makes=tuple(value.name or None for value in node.outputs),
    )


def _stays_on_host(node: ir.Node, host: set[ir.Value]) -> bool:
    given = [value for value in node.inputs if value is not None]
    return (
        node.op_type in sizes.HOST_OPERATORS
        and any(value in host for value in given)
        and all(value in host or value.const_value is not None for value in given)
        and (node.op_type != "Cast" or sizes.can_cast(node))
    )


def _host_step(view: NodeView) -> Step:
    constants: Mapping[int, Any] = {
        i: np.asarray(view.constant(i)) for i in range(len(view.node.inputs)) if view.is_constant(i)
    }
    function = sizes.HOST_OPERATORS[view.op_type]

    def run(*given: Any) -> Any:
        return function(view, *(constants.get(i, value) for i, value in enumerate(given)))

    reads = tuple(None if v is None or i in constants else v.name for i, v in enumerate(view.node.inputs))
    return Step(run=run, reads=reads, makes=(view.node.outputs[0].name,))


def _with_tensors(view: NodeView, run: Run, host: set[ir.Value]) -> Run:
    """Return `run` with sizes turned into tensors at the inputs that take no sizes."""
    taken = sizes.READS_SIZES.get(view.op_type, frozenset())
    turned = [i for i, value in enumerate(view.node.inputs) if value in host and i not in taken]
    if not turned:
        return run

    def converted(*given: Any) -> Any:
        arrays = (view.torch.tensor(value.tolist()) if i in turned else value for i, value in enumerate(given))
        return run(*arrays)

    return converted
