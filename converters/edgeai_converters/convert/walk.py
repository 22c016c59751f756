"""Walking the routes: each in turn, until one writes an artifact that answers as the source does."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from edgeai_converters.convert.culprit import find_culprit
from edgeai_converters.convert.gates import TOLERANCES, check_artifact
from edgeai_converters.convert.prepare import Prepared, prepare_source
from edgeai_converters.convert.report import Attempt, Conversion
from edgeai_converters.convert.write import write_graph
from edgeai_converters.emit.artifact import Artifact
from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.graph.bisect import Culprit
from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.parity import Parity
from edgeai_converters.routes import GRAPH, SUFFIXES, Route, routes_for
from edgeai_converters.sources.child import ChildError
from edgeai_converters.sources.detect import detect_source
from edgeai_converters.spec import ConvertSpec
from edgeai_converters.tools.boundary_check import describe_artifact
from edgeai_converters.tools.table import run_tool
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import (
    EdgeAIError,
    EngineError,
    MissingEngineError,
    ModelError,
    ParityError,
    UnsupportedOperationError,
    UsageError,
)

logger = logging.getLogger(__name__)

_LEADS_ON = (UnsupportedOperationError, ParityError, ChildError)
"""What leads from one way to the graph to the next; any other error says that the source itself is at fault."""


class Walk:
    """One walk over the routes of a conversion: what was prepared and what failed so far.

    Args:
        spec: what is asked for.
        folder: an existing folder for everything made on the way.
        stem: name of the artifact without suffix.
        live: a live Keras or PyTorch model in place of the file; tools that read files are then passed over.
        work: where imports are kept for the next format; `None` keeps none.
    """

    def __init__(
        self,
        spec: ConvertSpec,
        folder: Path,
        stem: str,
        *,
        live: object | None = None,
        work: WorkFolder | None = None,
    ) -> None:
        self._spec, self._folder, self._stem, self._work = spec, folder, stem, work
        self._source = spec.source if live is None else live
        self._prepared: dict[str | None, Prepared | EdgeAIError] = {}
        routes = routes_for(detect_source(self._source), spec.format, precision=spec.precision)
        self._routes = [route for route in routes if live is None or route.steps[0].end == GRAPH]

    def prepare(self) -> None:
        """Bring the source to the graph by the first way that is installed; an error is kept for `write`.

        Raises:
            EdgeAIError: the source itself is at fault, so that no route leads on.
        """
        for route in self._routes:
            if route.steps[0].end == GRAPH and not route.missing:
                try:
                    self._prepare(route.steps[0].way)
                except _LEADS_ON as error:
                    logger.info("%s: %s", " → ".join(route.names), error)
                return

    def write(self) -> Conversion:
        """Try the routes in turn and return the first artifact that passes the gate.

        Raises:
            UnsupportedOperationError: no route can do an operation; the message tells what was tried.
            ParityError: artifacts were written, none computes what the source computes.
            MissingEngineError: nothing that leads there is installed.
        """
        tried: list[Attempt] = []
        failures: list[EdgeAIError] = []
        for number, route in enumerate(self._routes):
            if route.missing:
                tried.append(Attempt(route=route.names, reason=f"{', '.join(route.missing)} is not installed"))
                continue
            place = self._folder / f"route{number}"
            place.mkdir()
            try:
                prepared, artifact = self._go(route, place)
                parity = self._check(prepared, artifact, route)
            except _WrongError as error:
                failures.append(error.error)
                tried.append(Attempt(route=route.names, reason=error.error.message, culprit=error.culprit))
            except (ModelError, EngineError) as error:
                if isinstance(error, MissingEngineError):
                    raise
                failures.append(error)
                tried.append(Attempt(route=route.names, reason=error.message))
            else:
                return self._conversion(route, prepared, artifact, parity, tried)
            logger.info("route %s: %s", " → ".join(route.names), failures[-1])
        raise self._all_failed(failures, tried)

    def _prepare(self, way: str | None) -> Prepared:
        """Return the source by one way; each way is gone once, its error is raised again."""
        if way not in self._prepared:
            place = self._folder / f"way{len(self._prepared)}"
            place.mkdir()
            try:
                self._prepared[way] = prepare_source(self._spec, self._source, way=way, workdir=place, work=self._work)
            except _LEADS_ON as error:
                self._prepared[way] = error
        found = self._prepared[way]
        if isinstance(found, EdgeAIError):
            raise found
        return found

    def _any_prepared(self) -> Prepared:
        """Return the source by the first way that works: a tool that reads it itself needs its answers all the same."""
        first: EdgeAIError | None = None
        for way in [route.steps[0].way for route in self._routes if route.steps[0].end == GRAPH and not route.missing]:
            try:
                return self._prepare(way)
            except _LEADS_ON as error:
                first = first or error
        raise first or UnsupportedOperationError("Nothing here can run the source to compare with it.")

    def _go(self, route: Route, place: Path) -> tuple[Prepared, Artifact]:
        """Walk one route and return what was written."""
        spec, last = self._spec, route.steps[-1]
        if route.steps[0].end == GRAPH:
            prepared = self._prepare(route.steps[0].way)
            if last.tool == "edgeai":
                artifact = write_graph(prepared.model, spec.format, place, precision=spec.precision, stem=self._stem)
                return prepared, _with_layouts(artifact, prepared)
            source = emit_onnx(prepared.model, place, stem="graph").path
            steps = route.steps[-1:]
        else:
            prepared, source, steps = self._any_prepared(), spec.source, route.steps
            if prepared.change.inputs or prepared.change.outputs:
                raise UnsupportedOperationError(f"{last.tool} keeps the source's layout at the boundary.")
        notes: tuple[str, ...] = ()
        inputs, outputs = input_specs(prepared.model), output_specs(prepared.model)
        for step in steps:
            suffix = SUFFIXES[step.end]  # type: ignore[index]  # other tools write formats only
            target = place / f"{self._stem}{suffix}"
            precision = spec.precision if step is last else "float32"
            notes += run_tool(
                step.tool, source, target, precision=precision, inputs=inputs, outputs=outputs, workdir=place
            )
            source = target
        return prepared, describe_artifact(source, spec.format, inputs=inputs, outputs=outputs, notes=notes)

    def _check(self, prepared: Prepared, artifact: Artifact, route: Route) -> Parity:
        """Run the artifact and compare; where our own road wrote it, find what went wrong."""
        what = " → ".join(route.names)
        precision = self._spec.precision
        try:
            return check_artifact(artifact, prepared.inputs, prepared.reference, precision=precision, what=what)
        except ParityError as error:
            if route.steps[-1].tool != "edgeai":
                raise
            culprit = find_culprit(
                prepared.model, artifact, prepared.inputs, precision=precision, folder=artifact.path.parent
            )
            if culprit is None:
                raise
            raise _WrongError(ParityError(f"{error.message} {culprit}", hint=error.hint), culprit) from error

    def _conversion(
        self, route: Route, prepared: Prepared, artifact: Artifact, parity: Parity, tried: list[Attempt]
    ) -> Conversion:
        left = tuple(
            f"{' → '.join(attempt.route)}: {attempt.reason.rstrip('.')}. Took another route." for attempt in tried
        )
        return Conversion(
            artifact=artifact,
            route=route.names,
            parity=parity,
            tolerance=TOLERANCES[self._spec.precision],
            passes=prepared.passes if route.steps[0].end == GRAPH else (),
            tried=tuple(tried),
            notes=(*prepared.notes, *artifact.notes, *left),
            integers="dequantized" if prepared.dequantized else None,
        )

    def _all_failed(self, failures: list[EdgeAIError], tried: list[Attempt]) -> EdgeAIError:
        missing = [route for route in self._routes if route.missing]
        more = f"Another route needs: {missing[0].install}" if missing else ""
        if not self._routes:
            return UsageError(f"Nothing writes {self._spec.format} with the precision {self._spec.precision}.")
        if not failures:
            names = ", ".join(missing[0].missing)
            return MissingEngineError(f"No route reaches that format without {names}.", hint=missing[0].install)
        different = list({failure.message: failure for failure in failures}.values())
        first = different[0]
        hint = " ".join(part for part in (first.hint or "Another format may work.", more) if part)
        if len(different) == 1:
            error = type(first)(first.message, hint=hint)
        else:
            told = " ".join(f"({i}) {failure.message}" for i, failure in enumerate(different, 1))
            all_differ = all(isinstance(failure, ParityError) for failure in different)
            kind = ParityError if all_differ else UnsupportedOperationError
            error = kind(f"No route reaches that format. {told}", hint=hint)
        error.__cause__ = first
        return error


def _with_layouts(artifact: Artifact, prepared: Prepared) -> Artifact:
    """Return the artifact with the layouts that are known of the graph's boundary."""
    known = {spec.name: spec.layout for spec in (*input_specs(prepared.model), *output_specs(prepared.model))}
    return replace(
        artifact,
        inputs=tuple(replace(spec, layout=known.get(spec.name)) for spec in artifact.inputs),
        outputs=tuple(replace(spec, layout=known.get(spec.name)) for spec in artifact.outputs),
    )


class _WrongError(Exception):
    """A mismatch whose first wrong tensor was found."""

    def __init__(self, error: ParityError, culprit: Culprit) -> None:
        super().__init__(error.message)
        self.error, self.culprit = error, culprit
