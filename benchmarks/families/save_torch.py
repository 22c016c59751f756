"""Saving the PyTorch families as every file a user might bring; run in a process of its own.

python -m families.save_torch FOLDER FAMILY… writes FOLDER/FAMILY/ with `model.pt2`, `model.pt` (traced TorchScript),
`model.onnx` (torch.onnx), `model.xml` (OpenVINO, from that ONNX), `probe.npz` (inputs and PyTorch's outputs) and
`saved.json`: the inputs, the outputs, and why a file is missing.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from families.network import Network
from families.table import build_torch


def save(name: str, folder: Path) -> dict[str, Any]:
    """Save one family in every form and return what `saved.json` holds."""
    import torch

    network = build_torch(name)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = network.draw()
    with torch.no_grad():
        answer = network.model(*(torch.from_numpy(array) for array in inputs.values()))
    answers = [answer] if isinstance(answer, torch.Tensor) else list(answer)
    arrays = {f"in_{key}": array for key, array in inputs.items()}
    outputs = {f"out_{key}": tensor.numpy() for key, tensor in zip(network.outputs, answers, strict=True)}
    np.savez(folder / "probe.npz", **arrays, **outputs)
    program: list[Any] = []

    def pt2() -> None:
        program.append(export(network))
        torch.export.save(program[0], folder / "model.pt2")

    missing = {}
    steps: dict[str, Callable[[], None]] = {
        "pt2": pt2,
        "torchscript": lambda: trace(network, folder / "model.pt"),
        "onnx": lambda: write_onnx(network, program[0], folder / "model.onnx"),
        "openvino": lambda: write_openvino(folder / "model.onnx", folder / "model.xml"),
    }
    for form, step in steps.items():
        try:
            step()
        except Exception as error:  # whatever PyTorch or OpenVINO says belongs into the table
            missing[form] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:300]
    record = {
        "inputs": {key: list(shape) for key, shape in network.shapes.items()},
        "outputs": list(network.outputs),
        "shapes": {key: list(shape) for key, shape in network.fixed_shapes().items()},
        "missing": missing,
    }
    (folder / "saved.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def export(network: Network) -> Any:
    """Return the network as an exported program, its free axes free."""
    import torch

    axes = {"batch": torch.export.Dim("batch", min=1, max=512), "length": torch.export.Dim("length", min=4, max=4096)}
    dynamic = {
        name: {axis: axes[word] for axis, word in free.items()} or None for name, free in network.free_axes().items()
    }
    example = {name: torch.from_numpy(array) for name, array in network.draw().items()}
    return torch.export.export(network.model, tuple(example.values()), dynamic_shapes=tuple(dynamic.values()))


def trace(network: Network, path: Path) -> None:
    """Write the network as traced TorchScript."""
    import torch

    torch.backends.mha.set_fastpath_enabled(False)  # the fast path is one operation that nobody else has
    example = tuple(torch.from_numpy(array) for array in network.draw().values())
    with torch.no_grad():
        traced = torch.jit.trace(network.model, example)
    torch.jit.save(traced, str(path))


def write_onnx(network: Network, program: Any, path: Path) -> None:
    """Write the network as ONNX with its own names of inputs and outputs."""
    import torch

    made = torch.onnx.export(
        program, (), dynamo=True, input_names=list(network.shapes), output_names=list(network.outputs), verbose=False
    )
    made.save(str(path), external_data=False)


def write_openvino(onnx: Path, path: Path) -> None:
    """Write the ONNX file as OpenVINO IR, weights in float32."""
    import openvino

    openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)


def main() -> None:
    """Save the families named on the command line."""
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    import torch

    torch.set_num_threads(1)
    for name in sys.argv[2:]:
        record = save(name, Path(sys.argv[1]) / name)
        print(name, "missing:", record["missing"], flush=True)


if __name__ == "__main__":
    main()
