"""One version number, in two project files and two packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomllib

import edgeai
import edgeai_runtime


def _project(path: Path) -> dict[str, Any]:
    return dict(tomllib.loads(path.read_text(encoding="utf-8"))["project"])


def test_version_is_the_same_everywhere(root: Path) -> None:
    written = {_project(root / "pyproject.toml")["version"], _project(root / "runtime" / "pyproject.toml")["version"]}
    assert written | {edgeai.__version__, edgeai_runtime.__version__} == {edgeai.__version__}


def test_runtime_depends_on_numpy_alone(root: Path) -> None:
    names = [requirement.split(">")[0] for requirement in _project(root / "runtime" / "pyproject.toml")["dependencies"]]
    assert names == ["numpy"]


@pytest.mark.parametrize("extra", ["tflite", "onnx", "openvino", "sign"])
def test_both_projects_name_the_same_engine_in_an_extra(root: Path, extra: str) -> None:
    found = [
        {requirement.split(">")[0] for requirement in _project(path)["optional-dependencies"][extra]}
        for path in (root / "pyproject.toml", root / "runtime" / "pyproject.toml")
    ]
    assert found[0] == found[1]


def test_device_python_is_not_newer_than_promised(root: Path) -> None:
    assert _project(root / "runtime" / "pyproject.toml")["requires-python"] == ">=3.10"
