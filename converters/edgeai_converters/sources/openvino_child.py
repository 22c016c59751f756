"""The child of the OpenVINO source: reads an IR, writes it as ONNX, and runs it on probe inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgeai_converters.require import require
from edgeai_converters.sources.openvino_ir.graph import Boundary, read_graph
from edgeai_converters.sources.openvino_ir.rounding import take_out_rounding
from edgeai_converters.sources.probe import load_arrays, probe_inputs, run_in_pieces, save_arrays
from edgeai_runtime.errors import ModelError, UsageError
from edgeai_runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PROPERTIES = {
    "INFERENCE_PRECISION_HINT": "f32",
    "INFERENCE_NUM_THREADS": "2",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
"""Everything in float32: the CPU plugin else rounds activations where weights are compressed."""
_NO_INTEGER_KERNELS = {"LP_TRANSFORMS_MODE": "NO"}
_LARGEST_PROTO = 1 << 30


def convert_file(request: dict[str, Any]) -> dict[str, Any]:
    """Read an IR and run it; the task of the child process.

    Args:
        request: `path`, `folder`, `samples` (names in `samples.npz` or `None`), `input_shapes`, `seed`.

    Returns:
        `inputs` and `outputs` (boundaries), `weights`, `quantized` (how many roundings were taken out). In the folder:
        `openvino.onnx`, `probe_inputs.npz`, `probe_outputs.npz`; for a quantized model also `rounding.onnx`,
        `rounding_outputs.npz` (the file in float arithmetic) and `float_outputs.npz` (without its rounding).
    """
    folder = Path(request["folder"])
    openvino = require("openvino", extra="openvino")
    core = openvino.Core()
    model = _open(openvino, core, request["path"])
    _fix_shapes(openvino, model, request["input_shapes"])
    where = Path(request["path"]).name
    found = read_graph(model, where=where)
    specs = [TensorSpec(name=each.name, shape=each.shape, dtype=each.dtype) for each in found.inputs]
    samples = load_arrays(folder / "samples.npz", request["samples"]) if request["samples"] else None
    inputs = probe_inputs(specs, samples=samples, input_shapes=request["input_shapes"], seed=request["seed"])
    inputs = {each.name: _representable(inputs[each.name], each) for each in found.inputs}
    run = _Runner(core, found.inputs, found.outputs, specs, inputs)
    save_arrays(folder / "probe_inputs.npz", inputs)
    save_arrays(folder / "probe_outputs.npz", run(model))
    unrounded = model.clone()
    count = take_out_rounding(unrounded)
    if count:
        save_arrays(folder / "rounding_outputs.npz", run(model, integer_kernels=False))
        save_arrays(folder / "float_outputs.npz", run(unrounded))
        _write(found.proto, folder / "rounding.onnx")
        found = read_graph(unrounded, where=where)
    _write(found.proto, folder / "openvino.onnx")
    return {
        "inputs": [asdict(each) for each in found.inputs],
        "outputs": [asdict(each) for each in found.outputs],
        "weights": list(found.weights),
        "quantized": count,
    }


def _open(openvino: Any, core: Any, path: str) -> Any:
    try:
        return core.read_model(path)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            f"OpenVINO {openvino.__version__} cannot read {path}: {' '.join(lines[-2:])[:500]}",
            hint="The file is damaged, its .bin belongs to another .xml, or a newer OpenVINO wrote it.",
        ) from error


def _fix_shapes(openvino: Any, model: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give free dimensions their sizes, in place; `probe_inputs` reports wrong names and ranks."""
    wanted = {}
    for port in model.inputs:
        named = [name for name in (*port.get_names(), port.get_node().get_friendly_name()) if name in shapes]
        given = port.get_partial_shape()
        if not named or given.rank.is_dynamic or len(given) != len(shapes[named[0]]):
            continue
        sizes = [
            size if size > 0 and old.is_dynamic else old for old, size in zip(given, shapes[named[0]], strict=True)
        ]
        wanted[port] = openvino.PartialShape(sizes)
    if not wanted:
        return
    try:
        model.reshape(wanted)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UsageError(f"The model does not take the shapes {dict(shapes)}: {' '.join(lines[-2:])[:400]}") from error


def _representable(array: NDArray[Any], boundary: Boundary) -> NDArray[Any]:
    return array.astype(np.float16).astype(np.float32) if boundary.stored in ("f16", "bf16") else array


class _Runner:
    """Runs versions of one model on the same inputs."""

    def __init__(
        self,
        core: Any,
        inputs: Sequence[Boundary],
        outputs: Sequence[Boundary],
        specs: Sequence[TensorSpec],
        arrays: Mapping[str, NDArray[Any]],
    ) -> None:
        self._core, self._inputs, self._outputs, self._specs, self._arrays = core, inputs, outputs, specs, arrays

    def __call__(self, model: Any, *, integer_kernels: bool = True) -> dict[str, NDArray[Any]]:
        try:
            return self._run(model, {} if integer_kernels else _NO_INTEGER_KERNELS)
        except RuntimeError as error:
            if not integer_kernels and "NotFound" in str(error):  # a release that does not know the property
                return self._run(model, {})
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            free = [each.name for each in self._inputs if None in each.shape[1:]]
            raise ModelError(
                f"OpenVINO cannot run the model: {' '.join(lines[-2:])[:500]}",
                hint=f"Input {free[0]!r} has free dimensions; give its shape." if free else "Export the model again.",
            ) from error

    def _run(self, model: Any, properties: Mapping[str, str]) -> dict[str, NDArray[Any]]:
        compiled = self._core.compile_model(model, "CPU", {**_PROPERTIES, **properties})
        request = compiled.create_infer_request()

        def call(feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
            arrays = [
                np.ascontiguousarray(feed[each.name], dtype=np.dtype(_STORED.get(each.stored, each.dtype)))
                for each in self._inputs
            ]
            results = request.infer(arrays)
            return [np.array(results[i]).astype(np.dtype(each.dtype)) for i, each in enumerate(self._outputs)]

        values = run_in_pieces(self._specs, self._arrays, call)
        return dict(zip((each.name for each in self._outputs), values, strict=True))


_STORED = {"f16": "float16", "f64": "float64"}


def _write(proto: onnx.ModelProto, path: Path) -> None:
    large = sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > _LARGEST_PROTO
    onnx.save(proto, str(path), save_as_external_data=large, location=f"{path.name}.data" if large else None)
