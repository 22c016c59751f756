"""The graph of conversions as data: single steps between kinds of files, and the routes that they make up.

Nothing here runs anything. `convert.py` walks the routes, cheapest faithful first, and takes the next one when an
operation is not supported or the outputs differ. A new tool is a line in `STEPS` and a function in `tools/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgeai_converters.convert.gates import TOLERANCES, Tolerance
from edgeai_converters.sources.imported import SourceKind
from edgeai_converters.sources.table import SOURCES
from edgeai_converters.sources.ways import ways_of
from edgeai_converters.tools.environments import ENVIRONMENTS, find_interpreter
from edgeai_converters.tools.own_packages import missing_here
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import FORMATS, Format, Precision

__all__ = ["SUFFIXES", "TOLERANCES", "Route", "Step", "Tolerance", "missing_packages", "routes_for"]

SUFFIXES: dict[Format, str] = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}

Fidelity = Literal["exact", "rewritten", "guessed"]
"""`exact`: operation by operation. `rewritten`: operations are regrouped, names inside are lost. `guessed`: the tool
guesses something that the source knows (layouts, shapes), which only the gate can tell."""

_ORDER: tuple[Fidelity, ...] = ("exact", "rewritten", "guessed")

GRAPH, SIMPLE, CARRIED = "graph", "simple graph", "graph in integers"
"""The float ONNX graph as it was imported, and after simplification; the graph with the integers of the source."""

_FLOAT_ONLY: tuple[Precision, ...] = ("float32",)
_STORED: tuple[Precision, ...] = ("float32", "float16")
_NO_DATA: tuple[Precision, ...] = ("float32", "float16", "dynamic_int8")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: what one tool makes of one kind of file.

    Attributes:
        start: a kind of source, `graph`, `simple graph`, or a format that an earlier step wrote.
        end: `graph`, `simple graph` or a format.
        tool: what does the work; `edgeai` for our own code.
        packages: modules that must be installed, here or in the tool's managed environment.
        install: the line that installs them; empty when nothing more is needed.
        extra: the extra of edgeai that holds them; empty when there is none.
        cost_s: rough seconds for a small network on two cores, start of a child process included.
        fidelity: how near to the source the tool stays.
        note: what to know of it.
        precisions: what it can write.
        way: for a step to the graph, the name of the way that `import_source` takes.
        words: for a step to the graph, its parts in words.
        source_only: works on the user's own file only, not on one written on the way.
    """

    start: str
    end: str
    tool: str = "edgeai"
    packages: tuple[str, ...] = ()
    install: str = ""
    extra: str = ""
    cost_s: float = 1.0
    fidelity: Fidelity = "exact"
    note: str = ""
    precisions: tuple[Precision, ...] = _NO_DATA
    source_only: bool = False
    way: str | None = None
    words: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The step in words, as routes are printed."""
        if self.end in (GRAPH, CARRIED):
            return self.words
        if self.end == SIMPLE:
            return ("simplify",)
        return (f"emit {self.end}",) if self.tool == "edgeai" else (self.tool,)

    @property
    def runs_in(self) -> str:
        """Where it runs: `here`, `managed` for the tool's own environment, or `nowhere` while it is not installed."""
        if not missing_here(self.packages):
            return "here"
        return "nowhere" if missing_packages(self) else "managed"

    def to_json(self) -> dict[str, Any]:
        """Return the object of `edgeai convert --explain --json`."""
        return {
            "from": self.start,
            "to": self.end,
            "tool": self.tool,
            "extra": self.extra,
            "cost_s": self.cost_s,
            "fidelity": self.fidelity,
            "note": self.note,
            "runs_in": self.runs_in,
            "missing": list(missing_packages(self)),
            "install": self.install,
        }


_KERAS: dict[str, Any] = {"install": 'pip install "edgeai[keras]"', "extra": "keras"}
_TFLITE: dict[str, Any] = {
    "packages": ("ai_edge_litert",),
    "install": 'pip install "edgeai[tflite]"',
    "extra": "tflite",
}
_OPENVINO: dict[str, Any] = {
    "packages": ("openvino",),
    "install": 'pip install "edgeai[openvino]"',
    "extra": "openvino",
}

_TENSORFLOW: dict[str, Any] = {
    **_KERAS,
    "end": "tflite",
    "tool": "tensorflow",
    "packages": ("tensorflow",),
    "cost_s": 15.0,
    "fidelity": "rewritten",
    "note": "TensorFlow's own converter; recurrent layers get a batch of 1 where a free one does not convert",
    "source_only": True,
}
_OPENVINO_READER: dict[str, Any] = {
    **_OPENVINO,
    "end": "openvino",
    "tool": "openvino reader",
    "cost_s": 3.0,
    "fidelity": "rewritten",
    "note": "OpenVINO reads the file itself",
    "precisions": _STORED,
}

_WAYS_COST_S = {"keras": 12.0, "torch": 10.0, "openvino": 3.0}
"""Extra that a way needs → its rough cost; the rest takes a second."""

_WAYS_REWRITE = ("tensorflow lite", "torch.jit.trace")
"""Tools on a way to the graph that do not go operation by operation: one lowers the model first, one runs it once."""

_MODULES = {"tf2onnx": "tf2onnx", "torch.onnx": "onnxscript", "keras": "tensorflow", "torch": "torch"}
_MODULES |= {"tflite": "ai_edge_litert", "openvino": "openvino"}
"""Tool of a way, or extra → the module that must be there."""


def _ways_to_the_graph() -> tuple[Step, ...]:
    """Return one step per way of each kind of source; the first way of a kind is its cheapest."""
    return tuple(
        Step(
            start=kind,
            end=GRAPH,
            tool=way.steps[-1] if len(way.steps) > 1 else "edgeai",
            way=way.name,
            words=way.steps,
            packages=tuple(_MODULES[word] for word in (way.extra, *way.steps) if word in _MODULES and way.extra),
            install=f'pip install "edgeai[{way.extra}]"' if way.extra else "",
            extra=way.extra,
            cost_s=_WAYS_COST_S.get(way.extra, 1.0) * (1 + place),
            fidelity="rewritten" if set(_WAYS_REWRITE) & set(way.steps) else "exact",
            note="the source's own engine answers the probes",
        )
        for kind in SOURCES
        for place, way in enumerate(ways_of(kind))
    )


STEPS: tuple[Step, ...] = (
    *_ways_to_the_graph(),
    # the graph → formats
    Step(start=GRAPH, end=SIMPLE, cost_s=0.5, note="every pass is listed in the report; only rounding may change"),
    Step(start=SIMPLE, end="onnx", cost_s=0.2, note="the graph itself"),
    Step(start=SIMPLE, end="tflite", cost_s=0.3, note="our own writer, no TensorFlow", **_TFLITE),
    Step(start=SIMPLE, end="openvino", cost_s=2.0, note="OpenVINO's ONNX reader on the graph", **_OPENVINO),
    # integers that are carried over
    *(
        Step(start=kind, end=CARRIED, words=words, source_only=True, note="keeps the integers of a quantized source")
        for kind, words in (("tflite", ("tflite reader", "carry over")), ("onnx", ("onnx", "carry over")))
    ),
    Step(start=CARRIED, end="onnx", precisions=("int8",), note="activations as uint8"),
    Step(start=CARRIED, end="tflite", precisions=("int8",), note="our own writer, no TensorFlow", **_TFLITE),
    Step(start=CARRIED, end="openvino", precisions=("int8",), cost_s=2.0, note="activations as uint8", **_OPENVINO),
    # other tools
    Step(start="keras", **_TENSORFLOW),
    Step(start="saved_model", **_TENSORFLOW),
    Step(
        start="torch",
        end="tflite",
        tool="litert-torch",
        packages=ENVIRONMENTS["litert-torch"].modules,
        install="edgeai tools install litert-torch",
        cost_s=40.0,
        fidelity="rewritten",
        note="Google's PyTorch converter; the batch is fixed to 1",
        precisions=_FLOAT_ONLY,
        source_only=True,
    ),
    Step(
        start=SIMPLE,
        end="tflite",
        tool="onnx2tf",
        packages=ENVIRONMENTS["onnx2tf"].modules,
        install="edgeai tools install onnx2tf",
        cost_s=30.0,
        fidelity="guessed",
        note="reads the graph as ONNX and guesses which axes are channels",
        precisions=_STORED,
    ),
    Step(start="onnx", source_only=True, **_OPENVINO_READER),
    Step(start="tflite", **_OPENVINO_READER),
    Step(start="saved_model", source_only=True, **_OPENVINO_READER),
    Step(start="frozen_graph", source_only=True, **_OPENVINO_READER),
)
"""Every step there is; the order breaks ties."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way from a kind of source to a format: steps, each starting where the one before ends."""

    kind: SourceKind
    format: Format
    steps: tuple[Step, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The steps in words, for reports."""
        words = () if self.steps[0].end in (GRAPH, CARRIED) else (self.kind,)
        return (*words, *(name for step in self.steps for name in step.names))

    @property
    def cost_s(self) -> float:
        """Rough seconds for a small network."""
        return sum(step.cost_s for step in self.steps)

    @property
    def fidelity(self) -> Fidelity:
        """That of the least faithful step."""
        return max((step.fidelity for step in self.steps), key=_ORDER.index)

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are installed neither here nor in a managed environment."""
        return tuple(dict.fromkeys(name for step in self.steps for name in missing_packages(step)))

    @property
    def install(self) -> str:
        """The lines that install what is missing."""
        return " && ".join(dict.fromkeys(step.install for step in self.steps if missing_packages(step)))

    @property
    def state(self) -> str:
        """Whether it can be walked, and where, in words."""
        if self.missing:
            return f"needs {', '.join(self.missing)}: {self.install}"
        managed = [step.tool for step in self.steps if step.runs_in == "managed"]
        return f"ready, {', '.join(managed)} in an environment of its own" if managed else "ready"

    def to_json(self) -> dict[str, Any]:
        """Return the object of `edgeai convert --explain --json`."""
        return {
            "route": list(self.names),
            "fidelity": self.fidelity,
            "cost_s": round(self.cost_s, 1),
            "missing": list(self.missing),
            "install": self.install,
            "steps": [step.to_json() for step in self.steps],
        }


def routes_for(kind: SourceKind, format: Format, *, precision: Precision = "float32") -> tuple[Route, ...]:
    """Return every route from a kind of source to a format, the first to try first.

    Routes that stay exact come before those that rewrite, those before guesses; then the cheaper comes first. What is
    not installed is listed too: `Route.missing` tells.

    >>> [route.steps[-1].tool for route in routes_for("tflite", "openvino")]
    ['edgeai', 'openvino reader']

    Raises:
        UsageError: an unknown kind or format.
    """
    if kind not in SOURCES or format not in FORMATS:
        raise UsageError(f"There is no route from {kind!r} to {format!r}.", hint=f"Sources: {', '.join(SOURCES)}.")
    found = [Route(kind=kind, format=format, steps=path) for path in _paths(kind, format, (), precision)]
    return tuple(sorted(found, key=lambda route: (_ORDER.index(route.fidelity), route.cost_s)))


def missing_packages(step: Step) -> tuple[str, ...]:
    """Return the packages that a step lacks; none when its tool has a managed environment. Nothing is imported."""
    missing = missing_here(step.packages)
    return () if missing and step.tool in ENVIRONMENTS and find_interpreter(step.tool) is not None else missing


def _paths(start: str, goal: str, taken: tuple[Step, ...], precision: Precision) -> list[tuple[Step, ...]]:
    """Return every path from `start` to `goal` that comes nowhere twice and stops where it first arrives.

    A file that was written on the way is read by other tools only: our own reading of it is a way to the graph.
    """
    found: list[tuple[Step, ...]] = []
    for step in STEPS:
        if step.start != start or (taken and (step.source_only or step.end == GRAPH)):
            continue
        if step.end == goal:
            if precision in step.precisions:
                found.append((*taken, step))
        elif step.end not in {each.end for each in taken} and start not in (SIMPLE, CARRIED):
            found += _paths(step.end, goal, (*taken, step), precision)
    return found
