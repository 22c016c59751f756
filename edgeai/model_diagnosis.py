"""`edgeai.diagnose_model`: what stands between a model and each format, before the work is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai.diagnosis import Diagnosis, Finding
from edgeai_runtime.errors import EdgeAIError
from edgeai_runtime.manifest import FORMATS, Format

if TYPE_CHECKING:
    from edgeai_converters.convert.preflight import Preflight

_MOST_LISTED = 8


def diagnose_model(
    path: str | os.PathLike[str],
    *,
    formats: Sequence[Format] = FORMATS,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Diagnosis:
    """Look at a model: can it be read, and what does each format not have?

    A bundle is verified. A source of any kind is brought to the graph and simplified, which takes as long as the first
    step of `compress`; then each format is asked for the operations it lacks, with a rewrite where one is known.

    Args:
        path: a bundle, or a source.
        formats: the formats to ask.
        input_shapes: fixed shapes by input name.
    """
    from edgeai_runtime.bundle import is_bundle, verify_bundle

    file = Path(path)
    if is_bundle(file) or file.suffix.lower() == ".edge":
        return Diagnosis(
            checks=tuple(
                Finding(name=check.name, state="ok" if check.ok else "failed", detail=check.detail)
                for check in verify_bundle(file)
            )
        )
    from edgeai_converters.float_graph import make_float_graph
    from edgeai_converters.workfolder import WorkFolder

    shapes = {name: tuple(shape) for name, shape in (input_shapes or {}).items()}
    try:
        with tempfile.TemporaryDirectory(prefix="edgeai-") as folder:
            graph = make_float_graph(file, WorkFolder(Path(folder)), input_shapes=shapes)
    except EdgeAIError as error:
        return Diagnosis(checks=(_unreadable(file, error), *_other_routes(file, formats)))
    parity = graph.parity
    detail = f"{graph.kind}, by {' → '.join(graph.route)}; differs from its own engine by {parity.max_rel:.1e} at most"
    checks = [Finding(name="source", state="ok", detail=detail)]
    checks += [Finding(name="note", state="warning", detail=note) for note in graph.notes]
    for format in formats:
        checks += _check_format(graph.model, format)
    free = {spec.name: [i for i, size in enumerate(spec.shape) if size is None] for spec in graph.inputs}
    checks += [_free_dimensions(name, axes) for name, axes in free.items() if axes]
    return Diagnosis(checks=tuple(checks))


def _unreadable(path: Path, error: EdgeAIError) -> Finding:
    return Finding(name="source", state="failed", detail=error.message, hint=error.hint)


def _other_routes(path: Path, formats: Sequence[Format]) -> list[Finding]:
    """Return what other tools could still do with a source that does not come to the graph."""
    from edgeai_converters.routes import GRAPH, routes_for
    from edgeai_converters.sources.detect import detect_source

    try:
        kind = detect_source(path)
    except EdgeAIError:
        return []
    found = []
    for format in formats:
        around = [route for route in routes_for(kind, format) if route.steps[0].end != GRAPH]
        if around:
            ways = "; ".join(" → ".join(route.names) for route in around)
            found.append(Finding(name=format, state="warning", detail=f"other tools read the file themselves: {ways}"))
    return found


def _check_format(model: Any, format: Format) -> list[Finding]:
    from edgeai_converters.convert.preflight import preflight

    try:
        found = preflight(model, format)
    except EdgeAIError as error:
        return [Finding(name=format, state="warning", detail=error.message, hint=error.hint)]
    if not found.obstacles:
        return [Finding(name=format, state="ok", detail=_in_order(found))]
    findings = [
        Finding(name=format, state="warning", detail=str(each), hint=each.rewrite)
        for each in found.obstacles[:_MOST_LISTED]
    ]
    rest = len(found.obstacles) - _MOST_LISTED
    more = f" ({rest} more are not listed)" if rest > 0 else ""
    count = f"{len(found.obstacles)} of {found.operators} operations cannot be written{more}"
    hint = "edgeai convert --explain shows the routes that are tried instead; other formats may have them."
    return [Finding(name=format, state="warning", detail=count, hint=hint), *findings]


def _in_order(found: Preflight) -> str:
    count = found.transposes
    transposes = "" if count is None else f", {count or 'no'} transpose{'' if count == 1 else 's'}"
    return f"all {found.operators} operations can be written{transposes}"


def _free_dimensions(name: str, axes: Sequence[int]) -> Finding:
    if list(axes) == [0]:
        return Finding(name="free dimensions", state="ok", detail=f"input {name!r}: the batch")
    return Finding(
        name="free dimensions",
        state="warning",
        detail=f"input {name!r}: axes {', '.join(str(axis) for axis in axes)}; many kernels want them fixed",
        hint=f"--shape {name}=…",
    )
