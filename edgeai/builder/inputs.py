"""Which files a model's source and data are made of: what must be unchanged for a step to be up to date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeai.builder.config import ModelConfig
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Step

_TABLES = (".csv", ".tsv", ".txt")


def input_files(model: ModelConfig, root: Path) -> dict[str, tuple[Path, ...]]:
    """Return the files of a model by role: `source`, `data`, `labels`, …; only roles that are given.

    Args:
        model: the model.
        root: the folder of `edgeai.toml`, where modules of functions are looked for.

    Raises:
        UsageError: a file that is named is not there.
    """
    found: dict[str, tuple[Path, ...]] = {"source": _source_files(model.source)}
    data = model.data
    texts = {
        "data": data.data,
        "calibration_data": data.calibration,
        "certification_data": data.certification,
        "train_data": data.training,
    }
    for role, text in texts.items():
        if text is not None:
            found[role] = _data_files(text, root)
    if model.metric is not None and ":" in model.metric:
        found["metric"] = _function_files(model.metric, root)
    if model.labels is not None:
        found["labels"] = (model.labels,)
    if model.depends:
        found["depends"] = model.depends
    steps = (*_step_files(model.preprocess, root), *_step_files(model.postprocess, root))
    if steps:
        found["steps"] = steps
    for role, files in found.items():
        for file in files:
            if not file.exists():
                raise UsageError(f"models.{model.name}.{role}: there is no file {file}.")
    return found


def _source_files(source: Path) -> tuple[Path, ...]:
    """Return the source and the files beside it that hold its weights: OpenVINO's `.bin`, ONNX's external data."""
    if source.suffix == ".xml":
        return (source, source.with_suffix(".bin"))
    if source.suffix == ".onnx" and source.is_file():
        beside = (file for file in source.parent.glob(f"{_escaped(source.stem)}*") if file.is_file() and file != source)
        return (source, *sorted(file for file in beside if "data" in file.name or file.suffix in (".bin", ".weights")))
    return (source,)


def _data_files(text: str, root: Path) -> tuple[Path, ...]:
    path = Path(text)
    if path.is_file() and path.suffix.lower() in _TABLES:
        return (path, *_listed(path))
    if path.exists() or ":" not in path.name:
        return (path,)
    head = text.rpartition(":")[0]
    return (Path(head),) if head.lower().endswith(".npz") else _function_files(text, root)


def _listed(table: Path) -> tuple[Path, ...]:
    """Return the files that a table of images names, those that are there."""
    from edgeai_converters.calibrate.dataset_csv import read_rows

    return tuple(dict.fromkeys(file for row in read_rows(table) if row and (file := table.parent / row[0]).is_file()))


def _function_files(text: str, root: Path) -> tuple[Path, ...]:
    """Return the file of the module of `module:function`, when it lies in the project; nothing is imported."""
    name = text.rpartition(":")[0]
    if name.endswith(".py"):
        return (root / name,)
    base = root.joinpath(*name.split("."))
    return tuple(file for file in (base.with_name(f"{base.name}.py"), base / "__init__.py") if file.is_file())


def _step_files(steps: Mapping[str, tuple[Step, ...]], root: Path) -> tuple[Path, ...]:
    """Return the files that steps name, such as vocabularies."""
    if not steps:
        return ()
    from edgeai_runtime.transforms.table import OPERATIONS

    found = []
    for step in (step for named in steps.values() for step in named):
        operation = OPERATIONS.get(step.op)
        for parameter in operation.parameters if operation is not None else ():
            named = parameter.read is not None and parameter.name in step.params
            found += [root / str(step.params[parameter.name])] if named else []
    return tuple(found)


def _escaped(stem: str) -> str:
    from glob import escape

    return escape(stem)
