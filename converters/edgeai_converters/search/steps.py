"""What each step of a recipe does to the graph: one function per step, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from edgeai_converters.calibrate.ranges import Ranges
from edgeai_converters.float_graph import FloatGraph
from edgeai_converters.prune.clustering import cluster_weights
from edgeai_converters.prune.sparsity import sparsify
from edgeai_converters.quantize.gptq import gptq_weights
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.integer_boundary import integer_boundary
from edgeai_converters.quantize.plan import QuantizationPlan
from edgeai_converters.quantize.plan_summary import summarize_plan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.qoperator import to_qoperator
from edgeai_converters.quantize.quantized_source import unsign_activations
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_float16 import store_float16
from edgeai_converters.quantize.store_int4_weights import INT4_SUPPORT, store_int4_weights
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_converters.recipe import RESHAPING, Recipe
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.repairs import GRAPH_REPAIRS, SAMPLES, WEIGHT_REPAIRS
from edgeai_converters.train.training_spec import TrainingSpec
from edgeai_converters.workfolder import digest_of
from edgeai_runtime.errors import EdgeAIError, UsageError

Params = Mapping[str, Any]


class NoEffectError(EdgeAIError):
    """A recipe that leaves the graph as it is."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """A graph on its way through the steps of a recipe.

    Attributes:
        model: the graph so far; never changed in place.
        recipe: the whole recipe.
        graph: the float graph it began with: what the reshaping steps made.
        repairs: repairs of the graph that were made.
        notes: what to tell of the steps.
    """

    model: ir.Model
    recipe: Recipe
    graph: FloatGraph
    given: Calibration | None
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def calibration(self) -> Calibration:
        """Samples and ranges.

        Raises:
            UsageError: there is no data.
        """
        if self.given is None:
            raise UsageError("Static int8 needs calibration data.", hint="Give some with --data.")
        return self.given

    @property
    def ranges(self) -> Ranges:
        """Ranges of the graph after the repairs."""
        return self.calibration.ranges(self.repairs)

    @property
    def quantizing(self) -> Params:
        """Parameters of the recipe's `quantize` step."""
        found = next((step.params for step in self.recipe.steps if step.op == "quantize"), None)
        if found is None:
            raise UsageError("The recipe has a step that goes with `quantize`, but no `quantize`.")
        return found


def run_steps(recipe: Recipe, graph: FloatGraph, calibration: Calibration | None) -> tuple[ir.Model, tuple[str, ...]]:
    """Return the graph after the steps of a recipe behind the reshaping ones, and what to tell of them.

    Raises:
        NoEffectError: a step that stores values changes nothing in this graph.
        UsageError: an unknown step, or one that needs data that was not given.
    """
    made = Making(model=graph.model, recipe=recipe, graph=graph, given=calibration)
    for step in recipe.steps[len(recipe.base) :]:
        if step.op in GRAPH_REPAIRS:
            repairs = (*made.repairs, step.op)
            made = replace(made, model=made.calibration.model(repairs), repairs=repairs)
        elif step.op in STEPS:
            made = STEPS[step.op](made, step.params)
        elif step.op != "emit":
            known = ", ".join([*RESHAPING, *GRAPH_REPAIRS, *STEPS, "emit"])
            late = " It belongs before all steps of other kinds." if step.op in RESHAPING else ""
            raise UsageError(f"A step that cannot be here: {step.op!r}.{late}", hint=f"There are {known}.")
    return made.model, made.notes


def _carry_over(made: Making, params: Params) -> Making:
    carried = made.graph.carried
    if carried is None:
        raise UsageError("The source is not quantized: there are no integers to carry over.")
    model = carried if made.recipe.format == "tflite" else unsign_activations(carried)[0]
    return replace(made, model=model, notes=(*made.notes, "the integers of the source, carried over"))


def _store_float16(made: Making, params: Params) -> Making:
    return _changed(made, store_float16(made.model), "no weight of this graph would be stored as float16")


def _store_int8_weights(made: Making, params: Params) -> Making:
    stored = store_int8_weights(made.model, format=made.recipe.format)
    return _changed(made, stored, "no weight is large enough to store as int8")


def _gptq(made: Making, params: Params) -> Making:
    return replace(made, model=gptq_weights(made.model, made.calibration.batches(), **params)[0])


def _store_int4_weights(made: Making, params: Params) -> Making:
    """Store dense weights as int4, and what is left of large weights as int8."""
    stored = store_int4_weights(made.model, format=made.recipe.format, **params)
    made = _changed(made, stored, "no dense weight is large enough to store as int4")
    kernel = INT4_SUPPORT[made.recipe.format].kernel
    model, _ = store_int8_weights(made.model, format=made.recipe.format)
    return replace(made, model=model, notes=(*made.notes, f"int4 weights are computed by {kernel}"))


def _train_quantized(made: Making, params: Params) -> Making:
    from edgeai_converters.train.quantization_aware import train_quantized

    calibration = made.calibration
    if calibration.training is None:
        raise UsageError("Quantization-aware training needs data to train on.", hint="Give some with --train-data.")
    key = [calibration.digest(made.repairs), calibration.training_digest, dict(params), dict(made.quantizing)]
    trained, _ = train_quantized(
        made.model,
        plan_of(made.model, made.ranges, made.quantizing),
        TrainingSpec(**params),
        calibration.training,
        search=calibration.search,
        folder=calibration.work.root / f"training-{digest_of(key)[:20]}",
        on_step=lambda done, total, label: calibration.tell(label),
    )
    return replace(made, model=trained)


def _quantize(made: Making, params: Params) -> Making:
    notes = summarize_plan(made.model, plan_of(made.model, made.ranges, params))
    model = quantize(made.model, made.calibration, made.repairs, params)
    return replace(made, model=model, notes=(*made.notes, *notes))


def _sparsify(made: Making, params: Params) -> Making:
    """Make weights zero, by share or by pattern; samples choose, and the others make up for what went."""
    asked = {**params, "pattern": tuple(params["pattern"])} if "pattern" in params else dict(params)
    sparse = sparsify(made.model, batches=list(made.calibration.batches()), **asked)
    return _changed(made, sparse, "no weight is large enough for zeros that pay")


def _cluster_weights(made: Making, params: Params) -> Making:
    """Let each stored weight take a few values only."""
    return _changed(made, cluster_weights(made.model, **params), "no weight has more values")


def _integer_boundary(made: Making, params: Params) -> Making:
    ranges = made.ranges.tensors[made.quantizing["method"]]
    return replace(made, model=integer_boundary(made.model, **params, ranges=ranges)[0])


def _qoperator(made: Making, params: Params) -> Making:
    return replace(made, model=to_qoperator(made.model)[0])


STEPS: Mapping[str, Callable[[Making, Params], Making]] = {
    "carry_over": _carry_over,
    "store_float16": _store_float16,
    "store_int8_weights": _store_int8_weights,
    "gptq": _gptq,
    "store_int4_weights": _store_int4_weights,
    "train_quantized": _train_quantized,
    "sparsify": _sparsify,
    "quantize": _quantize,
    "cluster_weights": _cluster_weights,
    "integer_boundary": _integer_boundary,
    "qoperator": _qoperator,
}
"""Step → what it does; repairs of the graph are steps as well, and `emit` is what comes last."""


def quantize(model: ir.Model, calibration: Calibration, repairs: tuple[str, ...], params: Params) -> ir.Model:
    """Return the repaired graph with Quantize/Dequantize nodes.

    Args:
        model: the float graph after `repairs`.
        calibration: samples and ranges.
        repairs: repairs of the graph that were made.
        params: `scheme`, `method`; perhaps `methods` (range methods of single values), `excluded` (nodes kept in float,
            with the reason), `wide` (nodes with 16-bit activations) and `weights` (repairs of the weights).

    Raises:
        NoEffectError: nothing is computed in integers.
    """
    ranges = calibration.ranges(repairs)
    plan = plan_of(model, ranges, params)
    for name in params.get("weights", ()):
        if name not in WEIGHT_REPAIRS:
            raise UsageError(f"Unknown repair of weights: {name!r}.", hint=f"There are {', '.join(WEIGHT_REPAIRS)}.")
    for name in (name for name in WEIGHT_REPAIRS if name in params.get("weights", ())):
        model, _ = WEIGHT_REPAIRS[name](model, plan, ranges, calibration.batches(SAMPLES.get(name)))
    quantized, changed = insert_qdq(model, plan)
    if not changed:
        raise NoEffectError("no operation of this graph is computed in int8 in this format: it would be float32's")
    return quantized


def plan_of(model: ir.Model, ranges: Ranges, params: Params) -> QuantizationPlan:
    """Return the plan that the parameters of a `quantize` step make.

    Raises:
        UsageError: a scheme or range method that does not exist.
    """
    scheme, method = params.get("scheme"), params.get("method")
    if scheme not in SCHEMES or method not in ranges.tensors:
        raise UsageError(
            f"A quantize step needs a scheme and a range method. Received: {scheme!r}, {method!r}.",
            hint=f"There are {', '.join(SCHEMES)}, and {', '.join(ranges.tensors)}.",
        )
    found = dict(ranges.tensors[method])
    for name, other in params.get("methods", {}).items():
        found[name] = ranges.tensors[other][name]
    return plan_quantization(
        model, found, SCHEMES[scheme], excluded=params.get("excluded"), wide=params.get("wide", ())
    )


def _changed(made: Making, result: tuple[ir.Model, bool], otherwise: str) -> Making:
    model, changed = result
    if not changed:
        raise NoEffectError(f"{otherwise}: the artifact would be float32's")
    return replace(made, model=model)
