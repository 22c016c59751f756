"""Before a search: what no candidate could mend. Told in seconds, not by a gate after minutes.

Labels that do not match the model; precisions that need samples, without samples; and, of a target with a device, a
model that fits it in no format and precision that the target makes, as the float artifact of each format tells it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgeai.builder.config import ModelConfig, TargetConfig
from edgeai.builder.fixed_batch import batch_fixed_for, shaped_graph
from edgeai.builder.labels import read_labels
from edgeai.builder.steps import NOTES, Making
from edgeai_converters.float_graph import FloatGraph
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import EdgeAIError, ModelError, UsageError
from edgeai_runtime.manifest import Format, Precision

_CALIBRATED: tuple[Precision, ...] = ("int8", "int16x8")
_SHRINK = ("flash", "ram")
"""Checks that a narrower network may pass."""


def make(making: Making) -> None:
    """Write what there is to tell of the target.

    Raises:
        UsageError: labels or steps that do not match the model's inputs and outputs.
        ModelError: nothing that the search could make would do; says why and what would mend it.
    """
    model, target = making.model, making.target
    graph, _, line = shaped_graph(model, target, making.config.state)
    if model.labels is not None:
        read_labels(model.labels, graph.outputs)
    _require_names(model, graph)
    _require_fixed(model, target, graph)
    precisions = _reachable(model, target, graph)
    if target.device is not None:
        _require_fit(model, target, target.device, graph, precisions)
    (making.folder / NOTES).write_text(json.dumps([line] if line else []), encoding="utf-8")


def _require_names(model: ModelConfig, graph: FloatGraph) -> None:
    """Refuse steps of tensors that the model does not have."""
    from edgeai_converters.pipeline import name_steps

    sides = (("preprocess", model.preprocess, graph.inputs), ("postprocess", model.postprocess, graph.outputs))
    for key, steps, specs in sides:
        try:
            name_steps(steps, specs, what="input" if key == "preprocess" else "output")
        except UsageError as error:
            raise UsageError(f"models.{model.name}.{key}: {error.message}", hint=error.hint) from error


def _require_fixed(model: ModelConfig, target: TargetConfig, graph: FloatGraph) -> None:
    ways = batch_fixed_for(target)
    free = [spec.name for spec in graph.inputs if any(not isinstance(size, int) for size in spec.shape)]
    if ways and free:
        raise ModelError(
            f"{', '.join(ways)} needs fixed shapes, and those of {', '.join(free)} are not all fixed.",
            hint=f"Fix them: models.{model.name}.input_shapes = {{ {free[0]} = [SIZES] }}",
        )


def _reachable(model: ModelConfig, target: TargetConfig, graph: FloatGraph) -> tuple[Precision, ...]:
    """Return the precisions that a candidate may have: float32, which is always made, and those that can be."""
    can = [each for each in target.precisions if model.data.is_given or each not in _CALIBRATED]
    if graph.carried is not None and "int8" in target.precisions:
        can.append("int8")
    if not can:
        raise ModelError(
            f"{', '.join(target.precisions)} needs samples, and models.{model.name} has none.",
            hint=f"Name them: models.{model.name}.data",
        )
    return tuple(dict.fromkeys((*can, "float32")))


def _require_fit(
    model: ModelConfig, target: TargetConfig, device: Profile, graph: FloatGraph, precisions: tuple[Precision, ...]
) -> None:
    told: dict[str, list[str]] = {}
    for format in target.formats:
        reasons = list(_misfits(graph, device, format, precisions, narrows=_narrows(model)))
        if not reasons:
            return
        for reason, where in reasons:
            told.setdefault(reason, []).append(where)
    text = "; ".join(f"{', '.join(dict.fromkeys(where))}: {reason}" for reason, where in told.items())
    raise ModelError(
        f"Nothing that could be made of {model.source.name} fits {device.id}: {text}",
        hint=f"`edgeai check` and `edgeai devices {device.id}` tell more; the search was not begun.",
    )


def _misfits(
    graph: FloatGraph, device: Profile, format: Format, precisions: tuple[Precision, ...], *, narrows: bool
) -> Iterator[tuple[str, str]]:
    """Yield (why, what) for each precision when none of them fits; nothing when one does."""
    from edgeai_converters.emit.table import emit
    from edgeai_converters.facts.table import read_facts
    from edgeai_devices.fit_outlook import foresee_fit

    try:
        with tempfile.TemporaryDirectory(prefix="edgeai-preflight-") as folder:
            facts = read_facts(emit(graph.model, format, Path(folder)).path, format)
    except EdgeAIError as error:
        yield f"{error.message} {error.hint}".strip(), format
        return
    found = []
    for precision in precisions:
        failed = [
            check for check in foresee_fit(facts, device, precision).failed if not narrows or check.name not in _SHRINK
        ]
        if not failed:
            return
        mends = [_in_file(check.mend) for check in failed]
        words = [f"{check.name}: {check.detail}{mend}" for check, mend in zip(failed, mends, strict=True)]
        found.append(("; ".join(words), f"{format} {precision}"))
    yield from found


def _in_file(mend: str) -> str:
    """Return a mend in the words of `edgeai.toml`; commands are what the build would have run."""
    if mend.startswith("fix the shapes"):
        return " (fix them: input_shapes = { NAME = [SIZES] })"
    words = mend.partition("edgeai ")[0].rstrip(": ")
    return f" ({words})" if words else ""


def _narrows(model: ModelConfig) -> bool:
    """Whether the search may make the network smaller."""
    return model.prune != "never" and model.data.training is not None
