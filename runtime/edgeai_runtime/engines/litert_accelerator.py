"""What LiteRT's log says of a model compiled for an accelerator: on which adapter, how many operations, which not.

The Python API tells none of this. Patterns of the log that are not found count as "not told", never as good news.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from edgeai_runtime.engines.litert_placement import place, unknown_model
from edgeai_runtime.errors import EdgeAIError, PlacementError
from edgeai_runtime.placement import Device, OperationPlacement

#: Variables by which a user names the Vulkan driver by hand; then a software driver is what was asked for.
_BY_HAND = ("VK_ICD_FILENAMES", "VK_DRIVER_FILES")

_ADAPTER = re.compile(r"Selected adapter: (.+?), arch=.*?backend=(\w+), adapterType=(.+)")
_COUNTS = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU")
_REFUSED = re.compile(r"Following operations are not supported by GPU delegate:\n(.*?)\n\d+ operations will run", re.S)
_PLUGINS = re.compile(r"([1-9]\d*) compiler plugins were applied successfully: (.*)")


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """What came of compiling a model for an accelerator.

    Attributes:
        adapter: the GPU in the driver's words, or the NPU's compiler; empty when not told.
        software: the adapter is a program on the CPU.
        partly: the CPU may run what the accelerator does not take; otherwise it takes all.
        takes_some: the accelerator takes at least some operations, by what is told.
        taken: operations on the accelerator when it does not take all; 0 when not told.
        left: operations that it does not take; 0 when not told.
        refused: operator types that the accelerator does not take, each with its reason.
    """

    adapter: str = ""
    software: bool = False
    partly: bool
    takes_some: bool
    taken: int = 0
    left: int = 0
    refused: Mapping[str, str]


def read_log(delegate: str, text: str, *, partly: bool) -> Compilation:
    """Return what `text`, the log of a compilation, tells; `partly`: the CPU was allowed too."""
    if delegate == "litert:npu":
        plugins = _PLUGINS.search(text)
        return Compilation(
            adapter=plugins[2].strip() if plugins else "", partly=partly, takes_some=bool(plugins), refused={}
        )
    adapter, counts, refused = _ADAPTER.search(text), _COUNTS.search(text), _REFUSED.search(text)
    lines = [line.partition(":") for line in refused[1].splitlines()] if refused else []
    return Compilation(
        adapter=f"{adapter[2]}: {adapter[1]} ({adapter[3].strip()})" if adapter else "",
        software=adapter is not None and "cpu" in adapter[3].lower(),
        partly=partly,
        takes_some=counts is not None and counts[1] != "0",
        taken=int(counts[1]) if counts else 0,
        left=int(counts[2]) if counts else 0,
        refused={name.strip(): reason.strip() for name, _, reason in lines},
    )


def compilation_error(
    delegate: str, found: Compilation, text: str, failure: Exception | None, options: Mapping[str, str]
) -> EdgeAIError | None:
    """Return why the accelerator cannot be used, or `None` when it can."""
    foreign = ("npu_registry", "compiler_plugin", "Could not load shared library") if delegate == "litert:gpu" else ()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("INFO:", "I0000"))]
    log = "\n".join(line for line in lines if not any(word in line for word in foreign))
    tail = f"\n  engine log: {log[-2000:]}" if log else ""
    if failure is not None:
        what = " ".join(str(failure).replace("ERROR:", "").replace("└", "").split())
        hint = "install a Vulkan driver for the GPU; on a machine without one use litert:xnnpack"
        if delegate == "litert:npu":
            hint = "the vendor's compiler and dispatch libraries must load here; options compiler_plugins and dispatch"
        return PlacementError(f"{delegate} cannot run this model here: {what}{tail}", hint=hint)
    if found.software and options.get("software") != "yes" and not any(os.environ.get(name) for name in _BY_HAND):
        return PlacementError(
            f"the only GPU that LiteRT finds is a program on the CPU: {found.adapter}",
            hint="use litert:xnnpack, which is much faster; option software=yes takes it nevertheless, for tests",
        )
    return None


def describe_compilation(
    nodes: Sequence[Mapping[str, Any]], delegate: str, found: Compilation
) -> tuple[OperationPlacement, ...]:
    """Return where the operations run, as far as the log tells.

    Args:
        nodes: the operations of the model, as an interpreter lists them.
        delegate: `litert:gpu` or `litert:npu`.
        found: what the log said.

    Returns:
        One entry per operation where it is certain for each: all are on the accelerator, or those left behind are all
        operations of the types that it refused. Else one entry for each side with its count, or one of `unknown`.
    """
    device: Device = "gpu" if delegate == "litert:gpu" else "npu"
    kinds = Counter(str(node["op_name"]) for node in nodes)
    if not found.partly and nodes:
        return tuple(place(node, device, delegate, kernel=found.adapter) for node in nodes)
    if found.taken + found.left != len(nodes):
        return (unknown_model(delegate, "LiteRT does not tell which operations are left to the CPU", len(nodes)),)
    if sum(kinds[name] for name in found.refused) == found.left:
        return tuple(
            place(node, "cpu", "litert:xnnpack or litert:cpu", found.refused[node["op_name"]])
            if node["op_name"] in found.refused
            else place(node, device, delegate, kernel=found.adapter)
            for node in nodes
        )
    reasons = "; ".join(f"{name}: {reason}" for name, reason in found.refused.items())
    return (
        OperationPlacement(
            name="taken", op_type="*", device=device, delegate=delegate, count=found.taken, kernel=found.adapter
        ),
        OperationPlacement(
            name="left", op_type="*", device="cpu", delegate="litert:cpu", count=found.left, reason=reasons
        ),
    )


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Run a block with what C++ prints on standard output sent to standard error: LiteRT does that about OpenCL."""
    with suppress(Exception):
        sys.stdout.flush()
    try:
        saved = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
