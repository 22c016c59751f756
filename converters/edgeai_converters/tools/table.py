"""The table of other tools, and the one function that runs them, each in a child process."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgeai_converters.sources.child import run_in_child
from edgeai_converters.tools.environments import ENVIRONMENTS
from edgeai_runtime.manifest import Precision, TensorSpec

TOOLS: dict[str, str] = {
    "tensorflow": "edgeai_converters.tools.tensorflow:convert_file",
    "litert-torch": "edgeai_converters.tools.litert_torch:convert_file",
    "onnx2tf": "edgeai_converters.tools.onnx2tf:convert_file",
    "openvino reader": "edgeai_converters.tools.openvino_reader:convert_file",
}
"""Tool → `module:function`. Those with a managed environment start a child of their own, in whichever has the tool."""


def run_tool(
    tool: str,
    source: Path,
    target: Path,
    *,
    precision: Precision,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    workdir: Path,
) -> tuple[str, ...]:
    """Let a tool write `target`, and return its notes.

    Args:
        tool: a name of `TOOLS`.
        source: what it reads.
        target: the file to write.
        precision: how weights are stored.
        inputs: the boundary that the file must have.
        outputs: likewise.
        workdir: an existing folder for whatever the tool leaves behind, and the log.

    Raises:
        UnsupportedOperationError: the tool refuses the model.
        ModelError: it crashed.
        MissingEngineError: it is not installed.
    """
    request = {
        "source": str(source.resolve()),
        "target": str(target.resolve()),
        "precision": precision,
        "inputs": [asdict(spec) for spec in inputs],
        "outputs": [asdict(spec) for spec in outputs],
    }
    if tool in ENVIRONMENTS:
        module, _, function = TOOLS[tool].partition(":")
        return tuple(getattr(importlib.import_module(module), function)(request).get("notes", ()))
    answer = run_in_child(TOOLS[tool], request, workdir=workdir, what=f"{tool} on {source.name}")
    return tuple(answer.get("notes", ()))
