"""How cases are built: short words for OpenVINO's parameters and constants, and a model made of what a case built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

openvino = pytest.importorskip("openvino")
op = pytest.importorskip("openvino.opset16")

Case = Callable[[], Any]

MAP = [2, 4, 6, 6]

random = np.random.default_rng(7)
_parameters: list[Any] = []


def p(shape: list[int], dtype: Any = np.float32, name: str = "x") -> Any:
    node = op.parameter(shape, dtype, name=name)
    _parameters.append(node)
    return node


def c(values: Any, dtype: Any = np.float32) -> Any:
    return op.constant(np.asarray(values, dtype))


def ints(*values: int) -> Any:
    return c(list(values), np.int64)


def draw(*shape: int) -> Any:
    return c(random.normal(size=shape))


def make(version: str, kind: str, *inputs: Any, **attributes: Any) -> Any:
    """Make an operation that the Python functions lack."""
    factory = pytest.importorskip("openvino.utils.node_factory").NodeFactory(version)
    return factory.create(kind, [each.output(0) for each in inputs], attributes)


def positive(x: Any) -> Any:
    return op.add(op.abs(x), c(0.5))


def size_of_batch(more: int = 0) -> Any:
    """Return the size of the newest parameter's first axis, a vector of one."""
    x = _parameters[-1]
    return op.add(op.gather(op.shape_of(x), ints(0), c(0, np.int64)), ints(more))


def model_of(built: Any) -> Any:
    """Return the model whose outputs are all outputs of what a case built; its parameters are found by walking up."""
    node = built.get_node() if hasattr(built, "get_node") else built
    outputs = [built] if hasattr(built, "get_node") else list(built.outputs())
    parameters: dict[str, Any] = {}
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.get_type_name() == "Parameter":
            parameters[each.get_friendly_name()] = each
        waiting.extend(each.input_value(i).get_node() for i in range(each.get_input_size()))
    results = [op.result(output) for output in outputs]
    return openvino.Model(results, [parameters[name] for name in sorted(parameters)], "case")
