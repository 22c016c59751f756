"""What stands between a graph and a format, found before the work: operations, transposes, free dimensions."""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.emit.tflite.writer import emit_tflite, unsupported_nodes
from edgeai_converters.graph.boundary import input_specs
from edgeai_converters.require import require
from edgeai_converters.sources.child import run_in_child
from edgeai_runtime.manifest import Format

REWRITES: dict[str, str] = {
    "ArgMax": "leave the class to the app: end the model at its scores",
    "Bernoulli": "export the model in evaluation mode",
    "DeformConv": "use a plain convolution; no edge engine has this one",
    "Det": "compute it in the app, outside the model",
    "Einsum": "write it as transpose and matmul",
    "GRU": "give it a fixed sequence length (--shape), so that it can be unrolled",
    "GridSample": "use Resize where the grid is regular, else do it in the app",
    "If": "export the branch that is used",
    "LSTM": "give it a fixed sequence length (--shape), so that it can be unrolled",
    "Loop": "give it a fixed number of rounds (--shape fixes what it counts), so that it can be unrolled",
    "Multinomial": "end the model at its probabilities and draw in the app",
    "NonMaxSuppression": "end the model at boxes and scores, and suppress in the app",
    "NonZero": "end the model before it, and select in the app",
    "RNN": "give it a fixed sequence length (--shape), so that it can be unrolled",
    "RandomNormal": "export the model in evaluation mode, or make the noise an input",
    "RandomNormalLike": "export the model in evaluation mode, or make the noise an input",
    "RandomUniform": "export the model in evaluation mode, or make the noise an input",
    "RandomUniformLike": "export the model in evaluation mode, or make the noise an input",
    "Scan": "give it a fixed sequence length (--shape), so that it can be unrolled",
    "TopK": "end the model at its scores and choose in the app",
    "Unique": "do it in the app, outside the model",
}
"""ONNX operator → what to do in the model when a format does not have it."""


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """A node that a format cannot say, why, and what to do about it (empty when nothing is known)."""

    operation: str
    name: str
    reason: str
    rewrite: str = ""

    def __str__(self) -> str:
        return f"{self.operation} {self.name!r}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was found for one format.

    Attributes:
        format: the format.
        obstacles: nodes that stand in the way.
        transposes: transposes the file would have; `None` when it cannot be written, or does not tell.
        free: free dimensions of the inputs: `{name: axes}`.
        operators: number of operations of the graph.
    """

    format: Format
    obstacles: tuple[Obstacle, ...]
    transposes: int | None
    free: dict[str, tuple[int, ...]]
    operators: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return {**asdict(self), "obstacles": [asdict(each) for each in self.obstacles]}


def preflight(model: ir.Model, format: Format) -> Preflight:
    """Say what stands between a simplified graph and a format; nothing is kept.

    TFLite is asked of our own op table, OpenVINO of its reader and its CPU plugin in a child process. The graph itself
    is ONNX, and has been run.

    Args:
        model: the simplified graph; not changed.
        format: the format.

    Raises:
        MissingEngineError: the package that writes the format is not installed.
        ModelError: the graph cannot be looked at.
    """
    transposes: int | None = None
    with tempfile.TemporaryDirectory(prefix="edgeai-") as folder:
        if format == "tflite":
            obstacles = tuple(_obstacle(each.op_type, each.name, each.reason) for each in unsupported_nodes(model))
            if not obstacles:
                transposes = emit_tflite(model, Path(folder)).operators.get("TRANSPOSE", 0)
        elif format == "openvino":
            obstacles = _look_with_openvino(model, Path(folder))
        else:
            obstacles, transposes = (), sum(node.op_type == "Transpose" for node in model.graph)
    free = {
        spec.name: tuple(axis for axis, size in enumerate(spec.shape) if size is None) for spec in input_specs(model)
    }
    return Preflight(
        format=format,
        obstacles=obstacles,
        transposes=transposes,
        free={name: axes for name, axes in free.items() if axes},
        operators=len(model.graph),
    )


def ask_openvino(request: dict[str, Any]) -> dict[str, Any]:
    """Read an ONNX file and ask the CPU plugin; the task of the child process.

    Args:
        request: `path` of the file.

    Returns:
        `unread`: operators without a conversion rule; `unsupported`: names of operations no kernel is for;
        `reason`: of a refusal that names no operator.
    """
    openvino = require("openvino", extra="openvino")
    core = openvino.Core()
    try:
        model = core.read_model(request["path"])
    except RuntimeError as error:
        found = re.search(r"operations: (.+)", str(error))
        unread = re.findall(r"(\w+)-\d+", found[1]) if found else []
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return {"unread": unread, "unsupported": [], "reason": "" if unread else " ".join(lines[-2:])[:400]}
    known = core.query_model(model, "CPU")
    names = [one.get_friendly_name() for one in model.get_ops() if one.get_friendly_name() not in known]
    return {"unread": [], "unsupported": names, "reason": ""}


def _look_with_openvino(model: ir.Model, folder: Path) -> tuple[Obstacle, ...]:
    path = emit_onnx(model, folder, stem="graph", cast_weights=False).path
    task = "edgeai_converters.convert.preflight:ask_openvino"
    answer = run_in_child(task, {"path": str(path)}, workdir=folder, what="OpenVINO reading the graph")
    obstacles = []
    for node in model.graph:
        name = node.name or node.outputs[0].name or ""
        if node.op_type in answer["unread"]:
            obstacles.append(_obstacle(node.op_type, name, "OpenVINO's reader has no rule for it"))
        elif {name, *(value.name for value in node.outputs)} & set(answer["unsupported"]):
            obstacles.append(_obstacle(node.op_type, name, "OpenVINO's CPU plugin has no kernel for it"))
    if answer["reason"] and not obstacles:
        obstacles.append(Obstacle(operation="graph", name=model.graph.name or "graph", reason=answer["reason"]))
    return tuple(obstacles)


def _obstacle(operation: str, name: str, reason: str) -> Obstacle:
    return Obstacle(operation=operation, name=name, reason=reason, rewrite=REWRITES.get(operation, ""))
