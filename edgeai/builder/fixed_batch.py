"""Fix the batch before anything is searched, where what a target asks for takes no free one.

A compiler's output, a gate on what runs on the accelerator, a device that is an accelerator: where these need fixed
shapes, a model with a free batch would be searched for minutes and then be refused. A batch of one is what a device
runs; `input_shapes` says otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeai.builder.config import ModelConfig, TargetConfig
from edgeai_devices.compilers.table import COMPILERS
from edgeai_devices.fit_request import fixed_batch_ways

if TYPE_CHECKING:
    from edgeai_converters.float_graph import FloatGraph

BATCH = 1


def batch_fixed_for(target: TargetConfig) -> tuple[str, ...]:
    """Return the ways to the device's hardware for whose sake the batch must be fixed; none where it may stay free."""
    if target.device is None:
        return ()
    gates = target.gates
    return fixed_batch_ways(
        target.device,
        target.formats,
        compilers={spec.name for spec in COMPILERS.values() if spec.export in target.outputs},
        hardware=gates.coverage_device if gates.coverage is not None and gates.coverage_device != "cpu" else None,
    )


def shaped_graph(
    model: ModelConfig, target: TargetConfig, state: Path
) -> tuple[FloatGraph, dict[str, tuple[int, ...]], str]:
    """Return the float graph that candidates are made of, the shapes it was given, and a line when its batch was fixed.

    Args:
        model: the model.
        target: the target.
        state: the folder `.edgeai`: what was made before is found there.

    Raises:
        ModelError: the source cannot be read.
        UsageError: shapes that the model cannot have.
    """
    from edgeai_converters.float_graph import make_float_graph
    from edgeai_converters.graph.shapes import batch_shapes
    from edgeai_converters.workfolder import WorkFolder

    work, shapes = WorkFolder(state / "work"), dict(model.input_shapes)
    graph = make_float_graph(model.source, work, input_shapes=shapes, seed=model.seed)
    ways = batch_fixed_for(target)
    fixed = {name: sizes for name, sizes in batch_shapes(graph.model, BATCH).items() if name not in shapes}
    if not ways or not fixed:
        return graph, shapes, ""
    shapes |= fixed
    line = f"the batch of {', '.join(fixed)} is fixed to {BATCH}: {', '.join(ways)} takes no free one"
    return make_float_graph(model.source, work, input_shapes=shapes, seed=model.seed), shapes, line
