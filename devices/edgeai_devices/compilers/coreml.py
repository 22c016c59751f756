"""Apple Core ML through coremltools: an exported PyTorch program becomes an ML program (`.mlpackage`, a folder).

coremltools reads PyTorch, not ONNX: `edgeai.compiling` writes the program from any source, and beside it a file that
names inputs and outputs. Core ML computes in half precision; inputs and outputs stay float32. Times and random
identifiers that coremltools writes are replaced, so that the same program gives the same bytes.

Not here: running the result, which only macOS and iOS can, and choosing CPU, GPU or Neural Engine, which Core ML does
on the device, model by model.
"""

from __future__ import annotations

import importlib.metadata
import json
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeai_devices.compilers.protocol import Compiled, CompileReport, accelerator_for
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import MissingEngineError, ModelError
from edgeai_runtime.isolation import call_in_child

PACKAGE = "coremltools"
BOUNDARY = ".json"
"""Ending of the file beside the program: `{"inputs": [name, …], "outputs": [name, …]}`, in its order of them."""

DEPLOYMENT_TARGET = "iOS16"
_TIMEOUT_S = 3600
_CHANGING = "com.github.apple.coremltools.conversion_date"
_NAMESPACE = uuid.UUID("1c4f7f9e-6d2b-5a35-9d0e-6f7a8e5d3c21")


def version() -> str:
    """Return the version of coremltools.

    Raises:
        MissingEngineError: it is not installed.
    """
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        hint = 'pip install "edgeai[coreml]"'
        raise MissingEngineError(f"Apple's converter ({PACKAGE}) is not installed.", hint=hint) from None


def compile_model(path: Path, *, profile: Profile | None, folder: Path) -> Compiled:
    """Convert a `.pt2` file with fixed shapes; see the protocol.

    Raises:
        UsageError: a device was named that Core ML is not on.
        MissingEngineError: coremltools is not installed.
        ModelError: coremltools cannot convert the program.
    """
    chip = accelerator_for(profile, "coreml").model if profile is not None else "Core ML"
    found = version()
    package = folder / f"{path.stem}.mlpackage"
    request = {"path": str(path.absolute()), "package": str(package)}
    function = "edgeai_devices.compilers.coreml:make_package"
    told = call_in_child(function, request, timeout_s=_TIMEOUT_S, what=f"{path} in {PACKAGE}")
    if "refused" in told:
        raise ModelError(f"{PACKAGE} {found} cannot convert {path}: {told['refused']}")
    report = CompileReport(
        compiler="coreml",
        tool=PACKAGE,
        version=found,
        target=chip,
        options={"minimum_deployment_target": DEPLOYMENT_TARGET, "compute_precision": "float16"},
        flash_bytes=sum(file.stat().st_size for file in package.rglob("*") if file.is_file()),
    )
    notes = ("It was converted, not run: only macOS and iOS run it, and Core ML chooses the processor there.",)
    return Compiled(files=(package,), report=report, notes=notes)


def make_package(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert and write, or return what coremltools says; called in the child."""
    import torch

    warnings.simplefilter("ignore")  # of PyTorch and coremltools, about each other
    import coremltools

    program = torch.export.load(request["path"]).run_decompositions({})
    beside = Path(request["path"]).with_suffix(BOUNDARY)
    names: dict[str, list[str]] = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature = program.graph_signature
    given, results = ([nodes[name] for name in each] for each in (signature.user_inputs, signature.user_outputs))
    options: dict[str, Any] = {}
    if names:
        options["inputs"] = [
            coremltools.TensorType(name=name, shape=tuple(value.shape), dtype=_dtype(value))
            for name, value in zip(names["inputs"], given, strict=True)
        ]
        options["outputs"] = [
            coremltools.TensorType(name=name, dtype=_dtype(value))
            for name, value in zip(names["outputs"], results, strict=True)
        ]
    try:
        model = coremltools.convert(
            program,
            minimum_deployment_target=getattr(coremltools.target, DEPLOYMENT_TARGET),
            compute_precision=coremltools.precision.FLOAT16,
            skip_model_load=True,
            **options,
        )
    except Exception as error:  # whatever its passes raise of a program
        return {"refused": f"{type(error).__name__}: {error}"}
    spec = model.get_spec()
    spec.description.metadata.userDefined.pop(_CHANGING, None)
    package = Path(request["package"])
    coremltools.utils.save_spec(spec, str(package), weights_dir=model.weights_dir)
    _same_bytes(package, type(spec))
    return {}


def _dtype(value: Any) -> Any:
    """Return what Core ML has for the type of a tensor at the boundary."""
    import numpy as np

    return np.float32 if value.is_floating_point() else np.int32


def _same_bytes(package: Path, message: Any) -> None:
    """Give the package identifiers made of its paths, and write its messages in a fixed order."""
    manifest = package / "Manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    entries = document["itemInfoEntries"]
    fixed = {old: str(uuid.uuid5(_NAMESPACE, entry["path"])) for old, entry in entries.items()}
    document["itemInfoEntries"] = {fixed[old]: entry for old, entry in entries.items()}
    document["rootModelIdentifier"] = fixed[document["rootModelIdentifier"]]
    manifest.write_text(json.dumps(document, indent=4, sort_keys=True) + "\n", encoding="utf-8")
    for file in package.rglob("*.mlmodel"):
        spec = message.FromString(file.read_bytes())
        file.write_bytes(spec.SerializeToString(deterministic=True))
