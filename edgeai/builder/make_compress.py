"""Make the artifacts of a target: find recipes by a search, or replay those that were found before.

The folder of a result holds `compress.json` (the documented document), `recipes.json` (what is in the bundle, best
first) and `bundle`, a bundle laid out as a folder, without anything that was timed.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from edgeai.builder.fixed_batch import batch_fixed_for, shaped_graph
from edgeai.builder.steps import Making
from edgeai_converters.progress import OnStep
from edgeai_converters.recipe import Recipe
from edgeai_converters.spec import DEFAULT_TRAINING, CompressSpec
from edgeai_converters.workfolder import WorkFolder
from edgeai_devices.fit_request import size_for

REPORT = "compress.json"
RECIPES = "recipes.json"
BUNDLE = "bundle"


def search(making: Making) -> None:
    """Search the recipes of a target and keep what was found.

    Raises:
        ModelError, DataError: the source or the data cannot be used, or nothing could be made.
    """
    _run(_spec(making), None, making)


def compress(making: Making) -> None:
    """Make the artifacts of given recipes, or take them over from the search that found them.

    Raises:
        ModelError: a recipe cannot be replayed.
    """
    if making.found is not None:
        _copy_files(making.found, making.folder)
        return
    assert making.recipes is not None
    spec = _spec(making)
    formats = tuple(dict.fromkeys(recipe.format for recipe in making.recipes))
    budget = replace(spec.budget, judge_times=False)
    _run(replace(spec, recipes=making.recipes, formats=formats, budget=budget), making.recipes, making)


def _copy_files(source: Path, target: Path) -> None:
    """Copy a folder; what the system refuses is told as it says it, which `shutil.copytree` does not."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def read_found_recipes(folder: Path) -> tuple[Recipe, ...]:
    """Return the recipes in the bundle of a result, best first."""
    from edgeai_converters.recipe import read_recipes

    file = folder / RECIPES
    return read_recipes(json.loads(file.read_text(encoding="utf-8")), where=str(file))


def _run(spec: CompressSpec, recipes: tuple[Recipe, ...] | None, making: Making) -> None:
    from edgeai.cli.output import json_text
    from edgeai.result import CompressResult
    from edgeai_converters.packing import write_compression
    from edgeai_converters.pipeline import compress as run

    work = WorkFolder(making.config.state / "work")
    found = run(spec, work, on_step=_named(making.on_step, making))
    write_compression(found, making.folder / BUNDLE, recipes=recipes, with_measurements=False, as_folder=True)
    packed = recipes if recipes is not None else tuple(candidate.recipe for candidate in found.packed)
    document = {**CompressResult(found).to_json(), "source": spec.source.name}
    (making.folder / REPORT).write_text(json_text(document), encoding="utf-8")
    (making.folder / RECIPES).write_text(json_text_of(packed), encoding="utf-8")


def json_text_of(recipes: tuple[Recipe, ...]) -> str:
    """Return recipes as the JSON text that `read_found_recipes` reads."""
    return json.dumps([recipe.to_json() for recipe in recipes], indent=1) + "\n"


def _spec(making: Making) -> CompressSpec:
    model, device, size = making.model, making.target.device, making.model.budget.max_size_bytes
    target, shapes = making.target, model.input_shapes
    if batch_fixed_for(target):
        _, shapes, _ = shaped_graph(model, target, making.config.state)
    return CompressSpec(
        source=model.source,
        data=model.data,
        formats=target.formats,
        precisions=target.precisions,
        metric=model.metric,
        budget=replace(model.budget, max_size_bytes=size_for(device, size) if device else size),
        preprocessing=model.preprocess,
        postprocessing=model.postprocess,
        input_shapes=shapes,
        prune=model.prune,
        training=replace(DEFAULT_TRAINING, seed=model.seed),
        threads=model.threads,
        device=device,
        seed=model.seed,
    )


def _named(on_step: OnStep | None, making: Making) -> OnStep | None:
    if on_step is None:
        return None
    where = f"{making.model.name}/{making.target.name}"
    return lambda done, total, label: on_step(done, total, f"{where}: {label}")
