"""From configuration to steps: what each step of a target depends on. Nothing is run here, no engine is imported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeai.builder.config import BuildConfig, ModelConfig, TargetConfig
from edgeai.builder.digests import Digests
from edgeai.builder.inputs import input_files
from edgeai.builder.steps import Step
from edgeai_converters.recipe import Recipe
from edgeai_converters.versions import tool_versions
from edgeai_devices.catalog import OWN_FOLDER
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
    files = {role: digests.of_all(paths) for role, paths in input_files(model, root).items()}
    return Step(kind="search", name="search", settings=_plain(settings), files=files, tools=_tools(model, target))


def compress_step(search: Step, recipes: Sequence[Recipe]) -> Step:
    """Return the step that makes the artifacts of recipes."""
    settings = {**search.settings, "recipes": [recipe.to_json() for recipe in recipes]}
    return Step(kind="compress", name="compress", settings=_plain(settings), files=search.files, tools=search.tools)


def bundle_step(config: BuildConfig, model: ModelConfig, compress: Step) -> Step:
    """Return the step that names the bundle and its version."""
    settings = {"name": model.name, "version": config.version}
    return Step(kind="bundle", name="bundle", settings=settings, needs={"compress": compress.digest})


def later_steps(
    config: BuildConfig, model: ModelConfig, target: TargetConfig, compress: Step, bundle: Step, *, digests: Digests
) -> tuple[Step, ...]:
    """Return the steps after the bundle, in order: exports, gates, encryption, signature."""
    steps = [_check_step(config, target, bundle, digests)] if target.device is not None else []
    steps += [_export_step(config, target, output, bundle, digests) for output in target.outputs if output != "bundle"]
    gates = asdict(target.gates)
    reference = target.gates.not_slower_than
    gates |= {"not_slower_than": None, "where": f"{model.name}/{target.name}"}  # verdicts name their target
    files = {"not_slower_than": digests.of(reference)} if reference is not None else {}
    needs = {"compress": compress.digest, "bundle": bundle.digest}
    needs |= {step.name: step.digest for step in steps if step.kind == "check"}
    steps.append(Step(kind="gate", name="gate", settings=_plain(gates), files=files, needs=needs))
    last = bundle
    if config.encrypt_key is not None:
        from edgeai.builder.secrets_read import fingerprint

        settings = {"key": fingerprint(config.encrypt_key, config.root)}
        last = Step(kind="encrypt", name="encrypt", settings=settings, needs={last.name: last.digest})
        steps.append(last)
    if config.sign_key is not None:
        from edgeai.builder.secrets_read import fingerprint

        settings = {"key": fingerprint(config.sign_key, config.root)}
        steps.append(Step(kind="sign", name="sign", settings=settings, needs={last.name: last.digest}))
    return tuple(steps)


def _check_step(config: BuildConfig, target: TargetConfig, bundle: Step, digests: Digests) -> Step:
    return Step(
        kind="check",
        name="check",
        settings={"device": target.device},
        files=_device_files(config, target, digests),
        tools=_own_version(),
        needs={"bundle": bundle.digest},
    )


def _export_step(config: BuildConfig, target: TargetConfig, output: str, bundle: Step, digests: Digests) -> Step:
    return Step(
        kind="export",
        name=f"export:{output}",
        settings={"to": output, "device": target.device},
        files=_device_files(config, target, digests),
        tools=_own_version(),
        needs={"bundle": bundle.digest},
    )


def _device_files(config: BuildConfig, target: TargetConfig, digests: Digests) -> dict[str, str]:
    """Return the digests of what the project says of the device itself; shipped profiles go with edgeai's version."""
    own = config.root / OWN_FOLDER
    files = {"device": own / f"{target.device}.toml", "device_rules": own / "rules"}
    return {role: digests.of(path) for role, path in files.items() if target.device is not None and path.exists()}


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
