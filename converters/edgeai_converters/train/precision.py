"""In which number format a twin computes while it is trained: float32, or bfloat16 where that is faster.

In bfloat16 the layers' products are rounded to 8 bits of mantissa; weights, loss, optimizer and scores stay in float32
(mixed precision, Micikevicius et al. 2018, arXiv:1710.03740; bfloat16 has float32's range and needs no loss scaling,
Kalamkar et al. 2019, arXiv:1905.12322).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import onnx_ir as ir

from edgeai_converters.require import require
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.training_spec import Precision
from edgeai_converters.train.twin import Twin

_LEAST_CHANNELS = 8
"""Convolutions of fewer input channels gain nothing from bfloat16 on a CPU, dense layers of small models neither."""


def choose_precision(asked: Precision, model: ir.Model, device: str) -> Literal["float32", "bfloat16"]:
    """Return the format to compute in; under `auto` it follows from the graph and the machine alone, not from timing.

    `auto` takes bfloat16 on a GPU that has it, and on a CPU with instructions for it (AVX-512 BF16 or AMX) when the
    graph has convolutions over channels; everything else is trained in float32.
    """
    if asked != "auto":
        return asked
    torch = require("torch", extra="torch")
    if device != "cpu":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    flags: dict[str, Any] = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    able = bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
    return "bfloat16" if able and any(_mixes_channels(node) for node in model.graph) else "float32"


def run_in(precision: str, twin: Twin, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the outputs of a twin by name, computed in a format and given in float32."""
    torch = require("torch", extra="torch")
    device = next(iter(inputs.values())).device.type
    context: AbstractContextManager[Any] = torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")
    with context:
        outputs = twin.run(inputs)
    return {name: one.float() if one.dtype == torch.bfloat16 else one for name, one in outputs.items()}


def lay_out(tensor: Tensor) -> Tensor:
    """Return maps `[n, c, h, w]` with the channels innermost in memory, which convolutions are fastest on.

    The shape stays as it is, and so do tensors of other ranks.
    """
    if tensor.ndim != 4:
        return tensor
    return tensor.contiguous(memory_format=require("torch", extra="torch").channels_last)


def _mixes_channels(node: ir.Node) -> bool:
    if node.op_type != "Conv" or len(node.inputs) < 2 or node.inputs[1] is None or node.inputs[1].shape is None:
        return False
    channels = node.inputs[1].shape[1] if len(node.inputs[1].shape) == 4 else 0
    return isinstance(channels, int) and channels >= _LEAST_CHANNELS
