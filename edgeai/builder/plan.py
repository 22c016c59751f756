"""From configuration to steps: what each step of a target depends on. Nothing is run here, no engine is imported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from edgeai.builder.config import BuildConfig, ModelConfig, TargetConfig
from edgeai.builder.digests import Digests
from edgeai.builder.fixed_batch import batch_fixed_for
from edgeai.builder.inputs import input_files
from edgeai.builder.make_measure import asks_for_figures, asks_this_machine
from edgeai.builder.schema import COMPILED, EXPORTED
from edgeai.builder.secrets_read import fingerprint
from edgeai.builder.steps import Step
from edgeai_converters.recipe import Recipe
from edgeai_converters.versions import tool_versions
from edgeai_converters.workfolder import digest_of
from edgeai_devices.fit_request import wants_fixed_batch
from edgeai_runtime.bench.machine import describe_machine
from edgeai_runtime.manifest import Format

_ALWAYS = ("edgeai", "numpy", "onnx", "onnx-ir", "onnxruntime")
_OF_FORMAT: dict[Format, tuple[str, ...]] = {
    "tflite": ("ai-edge-litert", "tflite-runtime"),
    "onnx": (),
    "openvino": ("openvino",),
}
_OF_SOURCE = {
    ".keras": ("tensorflow", "keras", "tf-keras", "tf2onnx"),
    ".h5": ("tensorflow", "keras", "tf-keras", "tf2onnx"),
    ".pb": ("tensorflow", "tf2onnx"),
    "": ("tensorflow", "tf2onnx"),
    ".pt": ("torch", "onnxscript"),
    ".pt2": ("torch", "onnxscript"),
    ".xml": ("openvino",),
}
"""Packages that the graph of a source depends on, by its suffix; a folder has none."""


def search_step(model: ModelConfig, target: TargetConfig, *, root: Path, digests: Digests) -> Step:
    """Return the step that finds recipes: everything that candidates depend on is in its key.

    Raises:
        UsageError: a file that the model names is not there.
    """
    settings: dict[str, Any] = {
        "source": model.source.name,
        "device": _device(target),
        "formats": target.formats,
        "precisions": target.precisions,
        "metric": model.metric,
        "budget": {name: limit for name, limit in asdict(model.budget).items() if name != "judge_times"},
        "preprocess": _steps(model.preprocess),
        "postprocess": _steps(model.postprocess),
        "input_shapes": model.input_shapes,
        "prune": model.prune,
        "seed": model.seed,
        "threads": model.threads,
        "data": _selection(model),
    }
    ways = batch_fixed_for(target)
    if ways and target.device is not None and not wants_fixed_batch(target.device):  # there it is of the device alone
        settings["batch_fixed_for"] = ways
    inputs = input_files(model, root)
    inputs.pop("labels", None)  # they are put into the bundle, and nothing is searched by them
    files = {role: digests.of_all(paths) for role, paths in inputs.items()}
    return Step(kind="search", name="search", settings=_plain(settings), files=files, tools=_tools(model, target))


def preflight_step(model: ModelConfig, target: TargetConfig, search: Step, *, digests: Digests) -> Step:
    """Return the step that looks for what no search could mend, in the time of one conversion."""
    settings = {**search.settings, "batch_fixed_for": batch_fixed_for(target)}
    files = {"source": search.files["source"]}
    if model.labels is not None:
        files["labels"] = digests.of(model.labels)
    return Step(kind="preflight", name="preflight", settings=_plain(settings), files=files, tools=search.tools)


def compress_step(search: Step, recipes: Sequence[Recipe]) -> Step:
    """Return the step that makes the artifacts of recipes."""
    settings = {**search.settings, "recipes": [recipe.to_json() for recipe in recipes]}
    return Step(kind="compress", name="compress", settings=_plain(settings), files=search.files, tools=search.tools)


def later_steps(
    config: BuildConfig, model: ModelConfig, target: TargetConfig, compress: Step, *, digests: Digests
) -> tuple[Step, ...]:
    """Return the steps after `compress`, in order: compilers, bundle, check, exports, gates, encryption, signature."""
    device = _device(target)
    measured = []
    if asks_for_figures(target.gates):
        machine = {"machine": describe_machine()}
        measured = [
            Step(kind="measure", name="measure", settings=machine, needs={"compress": compress.digest}),
        ]
    compiled = [
        Step(
            kind="compile",
            name=f"compile:{output}",
            settings={"to": output, "device": device},
            tools=_own_version(),
            needs={"compress": compress.digest},
        )
        for output in target.outputs
        if output in COMPILED
    ]
    bundle = Step(
        kind="bundle",
        name="bundle",
        settings={"name": model.name, "version": config.version},
        files={"labels": digests.of(model.labels)} if model.labels is not None else {},
        needs={step.name: step.digest for step in (compress, *compiled)},
    )
    of_bundle: dict[str, Any] = {"tools": _own_version(), "needs": {bundle.name: bundle.digest}}
    checks = [Step(kind="check", name="check", settings={"device": device}, **of_bundle)] if device else []
    exports = [
        Step(kind="export", name=f"export:{output}", settings={"to": output, "device": device}, **of_bundle)
        for output in target.outputs
        if output in EXPORTED
    ]
    gate = _gate_step(model, target, (compress, *measured, *compiled, bundle, *checks), digests)
    steps = [*measured, *compiled, bundle, *checks, *exports, gate]
    last = bundle
    for kind, key in _secrets(config):
        last = Step(
            kind=kind, name=kind, settings={"key": fingerprint(key, config.root)}, needs={last.name: last.digest}
        )
        steps.append(last)
    return tuple(steps)


def _gate_step(model: ModelConfig, target: TargetConfig, needed: Sequence[Step], digests: Digests) -> Step:
    reference = target.gates.not_slower_than
    settings = asdict(replace(target.gates, not_slower_than=None)) | {"where": f"{model.name}/{target.name}"}
    if asks_this_machine(target.gates):
        settings["machine"] = describe_machine()
    return Step(
        kind="gate",
        name="gate",
        settings=_plain(settings),  # with its name: verdicts tell their target
        files={"not_slower_than": digests.of(reference)} if reference is not None else {},
        tools=_own_version(),
        needs={step.name: step.digest for step in needed},
    )


def _secrets(config: BuildConfig) -> Iterator[tuple[Literal["encrypt", "sign"], str]]:
    if config.encrypt_key is not None:
        yield "encrypt", config.encrypt_key
    if config.sign_key is not None:
        yield "sign", config.sign_key


def _device(target: TargetConfig) -> list[str] | None:
    """Return what a step knows of the device: its id, and the digest of its profile and rules."""
    if target.device is None:
        return None
    return [target.device.id, digest_of([target.device.to_json(), [asdict(rules) for rules in target.device.rules]])]


def _own_version() -> dict[str, str]:
    return {name: version for name, version in tool_versions().items() if name == "edgeai"}


def _tools(model: ModelConfig, target: TargetConfig) -> dict[str, str]:
    wanted = {*_ALWAYS, *_OF_SOURCE.get(model.source.suffix.lower(), ())}
    wanted |= {name for format in target.formats for name in _OF_FORMAT[format]}
    wanted |= {"torch"} if model.data.training is not None else set()
    return {name: version for name, version in tool_versions().items() if name in wanted}


def _selection(model: ModelConfig) -> dict[str, str]:
    """Return what is named inside of data files (`x.npz:images`, `loader.py:load`), by role, without paths."""
    data = model.data
    texts = {"data": data.data, "calibration": data.calibration, "certification": data.certification}
    given = {role: text for role, text in {**texts, "training": data.training}.items() if text is not None}
    return {role: text.rpartition(":")[2] if ":" in Path(text).name else "" for role, text in given.items()}


def _steps(named: Any) -> dict[str, list[list[Any]]]:
    return {name: [[step.op, step.params] for step in steps] for name, steps in named.items()}


def _plain(value: Any) -> Any:
    """Return what JSON gives back, so that keys that were kept compare equal to keys that are made."""
    return json.loads(json.dumps(value))
