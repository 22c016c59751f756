"""Finding the first wrong tensor of a conversion: bisection over the graph's topological order, then a check.

A conversion that differs at its outputs is written again up to inner tensors, by the caller; this module chooses
which. At each cut the tensors that are needed behind it are compared with the graph's own. The first bad cut names a
node, whose inputs are then checked: an error may vanish on the way (behind a ReLU) and come back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.graph.likely_cause import likely_cause
from edgeai_converters.graph.parity import Parity, measure_parity
from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_runtime.errors import EdgeAIError, ParityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

RunPrefix = Callable[[Sequence[str]], Mapping[str, "NDArray[Any]"]]
"""Values of the graph by name → what the conversion computes for them; raises an `EdgeAIError` where it cannot say."""

_MOST_RUNS = 60


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """The first wrong tensor of a conversion.

    Attributes:
        operation: the type of the node that writes it.
        node: the node's name (its tensor's where it has none).
        tensor: the name of the tensor.
        max_abs: largest absolute difference to the graph.
        max_rel: the same as a share of the tensor's largest value.
        cosine: cosine similarity.
        cause: the likely cause in words.
        inputs_right: whether the node's inputs were checked and found right.
    """

    operation: str
    node: str
    tensor: str
    max_abs: float
    max_rel: float
    cosine: float
    cause: str
    inputs_right: bool

    def __str__(self) -> str:
        checked = "its inputs are right" if self.inputs_right else "its inputs could not be checked"
        return (
            f"The first wrong tensor is {self.tensor!r}, written by {self.operation} {self.node!r}: "
            f"relative error {self.max_rel:.2g}; {checked}. Likely cause: {self.cause}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


def bisect(
    reference_graph: ir.Model,
    run_prefix: RunPrefix,
    *,
    inputs: Mapping[str, NDArray[Any]],
    max_rel: float,
    min_cosine: float,
) -> Culprit | None:
    """Return the first tensor that a conversion of the graph computes wrongly; `None` when all outputs are right.

    Args:
        reference_graph: what was converted; not changed.
        run_prefix: computes inner values of the conversion on `inputs`.
        inputs: what both are run on, by name.
        max_rel: largest `Parity.max_rel` of a tensor that counts as right.
        min_cosine: smallest cosine.
    """
    return _Search(reference_graph, run_prefix, inputs, max_rel, min_cosine).run()


def take_prefix(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return the part of a graph that computes the named values; its outputs are these. Inputs stay as they are."""
    model = model.clone()
    values = {value.name: value for node in model.graph for value in node.outputs}
    model.graph.outputs.clear()
    model.graph.outputs.extend(values[name] for name in dict.fromkeys(names))
    remove_dead_nodes(model)
    return model


class _Search:
    """One bisection: what is known of the tensors so far."""

    def __init__(
        self,
        model: ir.Model,
        run_prefix: RunPrefix,
        inputs: Mapping[str, NDArray[Any]],
        max_rel: float,
        min_cosine: float,
    ) -> None:
        self._model, self._run_prefix, self._inputs = model, run_prefix, inputs
        self._max_rel, self._min_cosine = max_rel, min_cosine
        self._values = _candidates(model)
        self._place = {value.name or "": i for i, value in enumerate(self._values)}
        self._last = _last_uses(model, self._place)
        self._found: dict[str, tuple[Parity | None, NDArray[Any], NDArray[Any]]] = {}
        self._runs = 0

    def run(self) -> Culprit | None:
        """Bisect, then walk back to a node whose inputs are right."""
        outputs = [value.name for value in self._model.graph.outputs if value.name in self._place]
        first = self._first_wrong([name for name in outputs if name])
        if first is None:
            return None
        low, high = -1, first
        while high - low > 1:
            middle = (low + high) // 2
            verdict, wrong = self._cut(middle, low, high)
            if verdict is None:  # nothing between can be looked at
                break
            low, high = (low, wrong) if wrong is not None else (verdict, high)
        return self._walk_back(high)

    def _cut(self, middle: int, low: int, high: int) -> tuple[int | None, int | None]:
        """Look at a cut near `middle`.

        Returns:
            The place looked at (`None` when there is none that can be), and the first wrong place seen there.
        """
        near = sorted(range(low + 1, high), key=lambda place: abs(place - middle))
        for place in near[:6]:
            names = [value.name or "" for value in self._values[: place + 1] if self._last[value.name or ""] > place]
            for asked in (names, [self._values[place].name or ""]):
                try:
                    wrong = self._first_wrong(asked)
                except EdgeAIError as error:
                    logger.info("bisection cannot look at %s: %s", ", ".join(asked), error)
                    continue
                return place, wrong
        return None, None

    def _walk_back(self, place: int) -> Culprit:
        """Return the node at `place`, or the earliest one before it that has a wrong output behind right inputs."""
        while True:
            value = self._values[place]
            node = value.producer()
            assert node is not None  # candidates are written by nodes
            before = [one.name for one in node.inputs if one is not None and one.name in self._place]
            checked = True
            try:
                wrong = self._first_wrong([name for name in before if name])
            except EdgeAIError as error:
                logger.info("bisection cannot look at the inputs of %s: %s", node.name, error)
                wrong, checked = None, False
            if wrong is None:
                return self._culprit(value, node, checked)
            place = wrong

    def _culprit(self, value: ir.Value, node: ir.Node, checked: bool) -> Culprit:
        name = value.name or ""
        parity, expected, received = self._found[name]
        assert parity is not None or expected.shape != received.shape
        return Culprit(
            operation=node.op_type,
            node=node.name or name,
            tensor=name,
            max_abs=parity.max_abs if parity else float("inf"),
            max_rel=parity.max_rel if parity else float("inf"),
            cosine=parity.cosine if parity else 0.0,
            cause=likely_cause(node, expected, received),
            inputs_right=checked,
        )

    def _first_wrong(self, names: Sequence[str]) -> int | None:
        """Return the earliest place among the named values that is wrong."""
        unknown = [name for name in names if name not in self._found]
        if unknown:
            self._runs += 1
            if self._runs > _MOST_RUNS:
                raise ParityError(f"The bisection did not end within {_MOST_RUNS} runs.")
            received = self._run_prefix(unknown)
            expected = GraphRunner(self._model, outputs=unknown).run(self._inputs)
            for name in unknown:
                self._found[name] = (_compare(expected[name], received[name]), expected[name], received[name])
        wrong = [self._place[name] for name in names if not self._right(name)]
        return min(wrong, default=None)

    def _right(self, name: str) -> bool:
        parity = self._found[name][0]
        return parity is not None and parity.max_rel <= self._max_rel and parity.cosine >= self._min_cosine


def _compare(expected: NDArray[Any], received: NDArray[Any]) -> Parity | None:
    try:
        return measure_parity({"": expected}, {"": received})
    except ParityError:  # another shape
        return None


def _candidates(model: ir.Model) -> list[ir.Value]:
    """Return the float values that depend on an input, in topological order."""
    dependent = {value for value in model.graph.inputs if value.name not in model.graph.initializers}
    found = []
    for node in model.graph:
        if any(value in dependent for value in node.inputs if value is not None):
            dependent.update(node.outputs)
            found += [value for value in node.outputs if value.name and value.dtype == ir.DataType.FLOAT]
    return found


def _last_uses(model: ir.Model, place: Mapping[str, int]) -> dict[str, int]:
    """Return for every candidate the last place that depends on it directly; outputs are needed to the end."""
    last = dict(place)
    for node in model.graph:
        ends = [place[value.name] for value in node.outputs if value.name and value.name in place]
        for name in [value.name for value in node.inputs if value is not None and value.name]:
            if name in place:  # what is read by something that is no candidate stays in sight to the end
                last[name] = max(last[name], *ends) if ends else len(place)
    last.update({value.name: len(place) for value in model.graph.outputs if value.name and value.name in place})
    return last
