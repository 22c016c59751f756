"""Importing our packages is cheap and has no side effect: checked in fresh interpreters."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ENGINES = ("tensorflow", "keras", "torch", "openvino", "onnxruntime", "ai_edge_litert", "tflite_runtime", "tf2onnx")
CODE = """
import json, logging, os, sys
{before}
environment, loaded = dict(os.environ), set(sys.modules)
import {package}
print(json.dumps({{
    "new": sorted({{name.split(".")[0] for name in set(sys.modules) - loaded}} - set(sys.stdlib_module_names)),
    "environment": dict(os.environ) == environment,
    "handlers": len(logging.getLogger().handlers),
}}))
"""


def _import(package: str, *, before: str = "") -> dict[str, object]:
    """Return what came along with a package in an interpreter without site customisation."""
    code = CODE.format(package=package, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("package", ["edgeai", "edgeai.cli", "edgeai_converters", "edgeai_devices", "edgeai_runtime"])
def test_import_loads_no_engine(package: str) -> None:
    assert not set(ENGINES) & set(_import(package)["new"])  # type: ignore[call-overload]


def test_import_of_edgeai_loads_no_heavy_library() -> None:
    assert not {"onnx", "onnx_ir", "scipy", "PIL", "sympy", "google", "jinja2"} & set(_import("edgeai")["new"])  # type: ignore[call-overload]


def test_import_of_the_runtime_loads_nothing_beyond_numpy() -> None:
    assert _import("edgeai_runtime", before="import numpy")["new"] == ["edgeai_runtime"]


@pytest.mark.parametrize("engine", ["litert", "onnxruntime", "openvino"])
def test_a_start_of_the_usual_kind_imports_nothing_that_it_does_not_need(engine: str) -> None:
    """Each of these takes longer than reading a small bundle."""
    modules = f"edgeai_runtime.loading, edgeai_runtime.bundle, edgeai_runtime.engines.{engine}"
    code = f"import sys, numpy\nknown = set(sys.modules)\nimport {modules}\nprint(*set(sys.modules) - known)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    slow = {"dataclasses", "inspect", "logging", "tempfile", "zipfile", "shutil", "importlib.metadata", "subprocess"}
    own = {f"edgeai_runtime.{name}" for name in ("delegates.table", "delegates.choose", "transforms.table", "atomic")}
    assert not (slow | own) & set(done.stdout.split())


@pytest.mark.parametrize("package", ["edgeai", "edgeai_runtime"])
def test_import_leaves_environment_and_logging_alone(package: str) -> None:
    seen = _import(package)
    assert seen["environment"] is True
    assert seen["handlers"] == 0
