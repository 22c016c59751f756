"""Moving the declared pre-processing into the graph, where that is exact and not slower.

The bundle's steps that remain run in numpy on the device; what was folded costs nothing there. Whether it pays is
measured once: numpy steps and the graph against the folded graph, in turns, in ONNX Runtime on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.graph.boundary import input_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.fold_preprocessing import fold_preprocessing
from edgeai_converters.graph.parity import require_parity
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import WorkFolder, digest_of_path
from edgeai_runtime.bench.loop import interleave
from edgeai_runtime.bench.statistics import Comparison, compare
from edgeai_runtime.bundle_arrays import npz_bytes, read_npz
from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.parse import format_steps
from edgeai_runtime.transforms.pipeline import apply_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Steps = Mapping[str, tuple[Step, ...]]

_MAX_REL, _MIN_COSINE = 1e-4, 0.99999
"""The gate of folding: it may only round anew."""

_SAMPLES = 8
_MEASURED_S = 0.5
_GRAPH_FILE, _INPUTS_FILE, _REPORT_FILE = "graph.onnx", "inputs.npz", "report.json"


def fold_steps(graph: FloatGraph, steps: Steps, work: WorkFolder, *, seed: int = 0) -> tuple[FloatGraph, Steps, str]:
    """Return the graph with the last steps folded into it, the steps that remain, and a note for the user.

    The graph and the steps come back as they were where nothing can be folded exactly, or where it is slower.

    Args:
        graph: the source's graph.
        steps: pre-processing by input name.
        work: where the outcome is kept: it is measured once.
        seed: of the raw samples that both graphs are held against each other on.

    Raises:
        ParityError: the folded graph computes something else.
    """
    model, remaining, changed = fold_preprocessing(graph.model, steps)
    if not changed:
        return graph, steps, "No step of the pre-processing can be folded into the graph exactly."
    folded = {name: each[len(remaining.get(name, ())) :] for name, each in steps.items()}
    named = {name: format_steps(each) for name, each in folded.items() if each}
    told = "; ".join(named.values()) if len(named) == 1 else "; ".join(f"{key}: {text}" for key, text in named.items())

    def make(folder: Path) -> None:
        raw = _raw_samples(model, seed)
        before = GraphRunner(graph.model)
        expected = before.run(_prepared(folded, raw))
        after = GraphRunner(model)
        parity = require_parity(
            expected, after.run(raw), what="graph → folded graph", max_rel=_MAX_REL, min_cosine=_MIN_COSINE
        )
        one = {name: array[:1] for name, array in raw.items()}
        samples = interleave(
            {"folded": lambda: after.run(one), "steps": lambda: before.run(_prepared(folded, one))},
            duration_s=_MEASURED_S,
        )
        ir.save(model, folder / _GRAPH_FILE)
        (folder / _INPUTS_FILE).write_bytes(npz_bytes(raw))
        report = {"parity": asdict(parity), "comparison": asdict(compare(samples["folded"], samples["steps"]))}
        (folder / _REPORT_FILE).write_text(json.dumps(report))

    key: dict[str, Any] = {"graph": graph.digest, "folded": named, "seed": seed, "tools": tool_versions()}
    made = work.step("folded", key, make)
    found = Comparison(**json.loads((made / _REPORT_FILE).read_text())["comparison"])
    low, high = found.ci95
    measured = f"a call takes {found.ratio:.3g} times as long [{low:.3g}, {high:.3g}] in ONNX Runtime on this machine"
    if found.verdict == "slower":
        return graph, steps, f"Pre-processing was not folded ({told}): {measured}."
    raw = read_npz(made / _INPUTS_FILE, where="raw samples")
    changed_graph = replace(
        graph,
        model=model,
        digest=digest_of_path(made / _GRAPH_FILE),
        route=(*graph.route, "fold pre-processing"),
        probes=made / _INPUTS_FILE,
        probe_inputs=raw,
        probe_outputs=GraphRunner(model).run(raw),
        carried=None,
    )
    return changed_graph, remaining, f"Folded into the graph: {told}; {measured}."


def _raw_samples(model: ir.Model, seed: int) -> dict[str, NDArray[Any]]:
    """Return whole numbers from 0 to 255 as float32 for each input: what cameras give; free sizes beyond n are 16."""
    random = np.random.default_rng(seed)
    arrays = {}
    for spec in input_specs(model):
        batch, *rest = spec.shape or (None,)
        shape = (batch or _SAMPLES, *(size or 16 for size in rest))
        arrays[spec.name] = random.integers(0, 256, shape).astype(spec.dtype)
    return arrays


def _prepared(steps: Steps, raw: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(apply_steps(steps.get(name, ()), array), np.float32) for name, array in raw.items()}
