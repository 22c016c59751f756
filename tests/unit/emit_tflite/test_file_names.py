"""Tensors of a file have names of their own, and the boundary keeps its names."""

from __future__ import annotations

import numpy as np

from edgeai_converters.emit.tflite.file_builder import FileBuilder


def test_tensors_of_one_name_are_numbered_and_the_boundary_keeps_its_names() -> None:
    builder = FileBuilder()
    constants = [builder.add_constant(np.full(2, value, np.float32), "end") for value in (1.0, 2.0)]
    source = builder.add_tensor("x", (2,), "float32")
    inner = builder.add_tensor("end", (2,), "float32")
    result = builder.add_tensor("end", (2,), "float32")
    builder.add_operator("ADD", [source, constants[0]], [inner], "AddOptions")
    builder.add_operator("ADD", [inner, constants[1]], [result], "AddOptions")
    graph = builder.build({"x": source}, {"end": result}, description="test").subgraphs[0]
    names = [tensor.name for tensor in graph.tensors]
    assert len(set(names)) == len(names) == 5
    assert names[graph.outputs[0]] == "end"
