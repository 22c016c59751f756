"""Several models in one bundle: run one after another, asked when the one before is unsure, or asked all together.

Every stage is a bundle of its own in a folder of the whole one, loaded as any other: with its variants, golden samples,
self-check, and its own pre- and post-processing, which run here around it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgeai_runtime.bundle import Bundle
from edgeai_runtime.engines.chunks import shape_error
from edgeai_runtime.errors import BundleError, DataError, UsageError
from edgeai_runtime.manifest import Pipeline, Stage, TensorSpec
from edgeai_runtime.manifest_checks import stage_folder
from edgeai_runtime.model import Model
from edgeai_runtime.placement import Placement, PlacementReport

if TYPE_CHECKING:
    from edgeai_runtime.encryption import Key

Values = list[Any]


def open_pipeline(
    bundle: Bundle,
    *,
    placement: Placement,
    threads: int | Literal["auto"] | None,
    variant: str | None,
    isolate: bool | None,
    selfcheck: Literal["auto", "always", "never"],
    key: Key | None = None,
) -> PipelineModel:
    """Load every stage of the pipeline in `bundle`; the arguments are those of `load`, for each stage.

    Raises:
        UsageError: a variant was asked for.
        BundleError: the stages do not fit together.
        EdgeAIError: as `load`, from a stage.
    """
    from edgeai_runtime.loading import load
    from edgeai_runtime.trust import Trust

    pipeline = bundle.manifest.pipeline
    assert pipeline is not None, "the caller has looked"
    if variant is not None:
        raise UsageError(f"{bundle.manifest.name} is a pipeline: it has no variant {variant!r}, its stages have")
    stages: list[tuple[Stage, Model]] = []
    try:
        for stage in pipeline.stages:
            folder = bundle.root / stage_folder(stage)
            model = load(
                folder,
                placement=placement,
                threads=threads,
                isolate=isolate,
                selfcheck=selfcheck,
                key=key,
                trust=Trust(),  # the whole bundle was checked, and with it the members of its stages
            )
            stages.append((stage, model))
        return PipelineModel(_Stages(pipeline, stages, bundle.manifest.inputs, bundle.manifest.outputs), bundle)
    except BaseException:
        for _, model in stages:
            model.close()
        raise


class PipelineModel(Model):
    """A loaded pipeline; it is called as a model is.

    Attributes:
        stages: the models by name, with a `placement` each.
        samples: by name of the stage, how many samples it was asked for since it was loaded.
    """

    def __init__(self, stages: _Stages, bundle: Bundle) -> None:
        first = next(iter(stages.models.values()))
        super().__init__(stages, variant=None, bundle=bundle, threads=first.threads)
        self.stages: Mapping[str, Model] = stages.models
        self.samples: Mapping[str, int] = stages.samples
        self._run = stages.run
        self._can_be_fast = False
        added = [before - len(spec.shape) for before, spec in zip(self._ranks, self.inputs, strict=True)]
        self._ranks = [rank + more for rank, more in zip(first._ranks, added, strict=False)]

    def run_raw(self, arrays: Sequence[Any]) -> list[Any]:
        """Run the stages with the steps that are their own, without those of the pipeline around them.

        Args:
            arrays: one per input: what the pipeline's pre-processing gives, or raw samples where it has none.

        Returns:
            The results in the order of `outputs`: arrays, or lists where a stage ends in labels.

        Raises:
            DataError: a wrong number of arrays, or what a stage does not take.
            EngineError: an engine failed.
        """
        if len(arrays) != len(self.inputs):
            raise shape_error(self.inputs, arrays)
        return list(self._run(arrays))

    def _prepare(self, index: int, array: Any) -> Any:
        before = self._before[index]
        return before(array) if before is not None else array


class _Stages:
    """The loaded stages as one session, which takes raw samples and gives results."""

    def __init__(
        self,
        pipeline: Pipeline,
        stages: Sequence[tuple[Stage, Model]],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.models = {stage.name: model for stage, model in stages}
        self.samples = dict.fromkeys(self.models, 0)
        self._pipeline, self._stages = pipeline, stages
        if pipeline.kind == "sequence":
            self._sources = _connect(stages, [spec.name for spec in inputs], [spec.name for spec in outputs])
        else:
            _check_alike(stages, len(inputs), len(outputs))

    def run(self, arrays: Sequence[Any]) -> Values:
        kind = self._pipeline.kind
        if kind == "sequence":
            return self._sequence(arrays)
        return self._cascade(arrays) if kind == "cascade" else self._ensemble(arrays)

    def replicas(self, count: int, threads: int) -> list[_Stages]:
        """Return the stages `count` times, each for another thread; they count samples together."""
        from edgeai_runtime.submission import double

        columns = zip(*(double(model, count) for _, model in self._stages), strict=True)
        names = [stage for stage, _ in self._stages]
        copies = [
            _Stages(self._pipeline, list(zip(names, models, strict=True)), self.inputs, self.outputs)
            for models in columns
        ]
        for one in copies:
            one.samples = self.samples
        return copies

    def placement(self) -> PlacementReport:
        """Put the reports together; the names of operations and variants say the stage."""
        reports = {name: model.placement for name, model in self.models.items()}
        return PlacementReport(
            engine="+".join(dict.fromkeys(report.engine for report in reports.values())),
            delegate="+".join(dict.fromkeys(report.delegate for report in reports.values())),
            operations=tuple(
                dataclasses.replace(operation, name=f"{name}/{operation.name}")
                for name, report in reports.items()
                for operation in report.operations
            ),
            attempts=tuple(
                dataclasses.replace(attempt, variant=f"{name}/{attempt.variant}")
                for name, report in reports.items()
                for attempt in report.attempts
            ),
        )

    def close(self) -> None:
        for model in self.models.values():
            model.close()

    def _sequence(self, arrays: Sequence[Any]) -> Values:
        values = dict(zip((("", spec.name) for spec in self.inputs), arrays, strict=True))
        for (stage, model), sources in zip(self._stages, self._sources, strict=True):
            given = [values[source] for source in sources]
            for name, result in self._call(model, stage.name, given).items():
                values[stage.name, name] = result
        return [values[self._stages[-1][0].name, spec.name] for spec in self.outputs]

    def _cascade(self, arrays: Sequence[Any]) -> Values:
        rows = np.arange(len(arrays[0]))
        answers: Values = []
        for stage, model in self._stages:
            results = list(self._call(model, stage.name, [array[rows] for array in arrays]).values())
            if not answers:
                answers = [result.copy() for result in results]
            else:
                for answer, result in zip(answers, results, strict=True):
                    _put(answer, rows, result, stage.name)
            if stage.threshold is None:
                break
            sure = _confidence(results[0], self._pipeline.confidence) >= stage.threshold  # NaN is not sure
            rows = rows[~sure]
            if not len(rows):
                break
        return answers

    def _ensemble(self, arrays: Sequence[Any]) -> Values:
        totals: Values = []
        whole = sum(stage.weight for stage, _ in self._stages)
        for stage, model in self._stages:
            for place, result in enumerate(self._call(model, stage.name, arrays).values()):
                if not isinstance(result, np.ndarray) or result.dtype.kind != "f":
                    raise DataError(f"an ensemble is made of floats; stage {stage.name!r} gives {_kind(result)}")
                if self._pipeline.combine == "vote":
                    result = np.eye(result.shape[-1], dtype=result.dtype)[result.argmax(axis=-1)]
                part = result * result.dtype.type(stage.weight / whole)
                if place == len(totals):
                    totals.append(part)
                elif totals[place].shape == part.shape:
                    totals[place] = totals[place] + part
                else:
                    raise DataError(
                        f"stage {stage.name!r} gives shape {part.shape}, those before {totals[place].shape}"
                    )
        return totals

    def _call(self, model: Model, name: str, arrays: Sequence[Any]) -> dict[str, Any]:
        """Call a stage on a batch; where its batch is fixed, the last sample is repeated to fill it."""
        samples = len(arrays[0])
        self.samples[name] += samples
        batch = model.inputs[0].shape[0] if model.inputs[0].shape else None
        missing = -samples % batch if batch else 0
        if missing and samples:
            arrays = [np.concatenate([array, array[-1:].repeat(missing, axis=0)]) for array in arrays]
        results: dict[str, Any] = model(dict(zip((spec.name for spec in model.inputs), arrays, strict=True)))
        return {key: value[:samples] for key, value in results.items()} if missing else results


def _connect(
    stages: Sequence[tuple[Stage, Model]], inputs: list[str], outputs: list[str]
) -> list[list[tuple[str, str]]]:
    """Return, per stage and input, where its values come from: (stage, output), or ("", input of the pipeline).

    What the stage says counts first; then an output of the stage before by the same name, or its only one for an only
    input; then an input of the pipeline by the same name.
    """
    known: list[tuple[str, str]] = [("", name) for name in inputs]
    before = known
    sources = []
    for stage, model in stages:
        names = [spec.name for spec in model.inputs]
        found = []
        for name in names:
            said = stage.inputs.get(name)
            if said is not None:
                places = [place for place in known if said == "/".join(filter(None, place))]
            else:
                places = [place for place in before if place[1] == name]
                places = places or (before if len(before) == len(names) == 1 else [])
                places = places or [place for place in known if place == ("", name)]
            if not places:
                listed = ", ".join("/".join(filter(None, place)) for place in known)
                raise BundleError(
                    f"nothing gives the input {name!r} of stage {stage.name!r}",
                    hint=f"Say in its `inputs` which of these: {listed}.",
                )
            found.append(places[0])
        unknown = sorted(set(stage.inputs) - set(names))
        if unknown:
            raise BundleError(f"stage {stage.name!r} has no input {unknown[0]!r}; its inputs: {', '.join(names)}")
        sources.append(found)
        before = [(stage.name, name) for name in result_names(model)]
        known = known + before
    if missing := sorted(set(outputs) - {name for _, name in before}):
        raise BundleError(f"the last stage gives no {missing[0]!r}, which the pipeline has as an output")
    return sources


def result_names(model: Model) -> list[str]:
    """Return the names of the results of a call: the outputs that no other one's steps take in."""
    return [spec.name for spec in model.outputs if spec.name not in model._taken]


def _check_alike(stages: Sequence[tuple[Stage, Model]], inputs: int, outputs: int) -> None:
    for stage, model in stages:
        for what, found, wanted in (
            ("inputs", len(model.inputs), inputs),
            ("outputs", len(result_names(model)), outputs),
        ):
            if found != wanted:
                raise BundleError(f"stage {stage.name!r} has {found} {what} where the pipeline has {wanted}")


def _confidence(result: Any, how: str) -> Any:
    """Return one number per sample, of scores [n, classes] or of lists of `{"label", "score"}`, best first."""
    if isinstance(result, list):
        scores = np.array([[one["score"] for one in sample[:2]] for sample in result])
    else:
        scores = result
    if scores.ndim != 2 or not scores.shape[1] or (how == "margin" and scores.shape[1] < 2):
        raise DataError(f"a cascade wants scores [n, classes] as its first output. Received: {_kind(result)}")
    if how == "score":
        return scores.max(axis=1)
    if how == "softmax":
        with np.errstate(invalid="ignore"):
            return 1 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1)
    best = np.sort(scores, axis=1)
    return best[:, -1] - best[:, -2]


def _put(answer: Any, rows: Any, result: Any, stage: str) -> None:
    """Write the results of some samples over the earlier answers for them."""
    if isinstance(answer, list) and isinstance(result, list):
        for row, one in zip(rows.tolist(), result, strict=True):
            answer[row] = one
    elif isinstance(answer, list) or isinstance(result, list) or answer.shape[1:] != result.shape[1:]:
        raise DataError(f"stage {stage!r} gives {_kind(result)}, the one before {_kind(answer)}: they must be alike")
    else:
        answer[rows] = result


def _kind(result: Any) -> str:
    return "a list" if isinstance(result, list) else f"{result.dtype} of shape {result.shape}"
