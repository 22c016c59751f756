"""Reading a file of rules; its content is described in `profile_rules.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgeai_devices.profile_document import Table, read_document
from edgeai_devices.profile_rules import (
    COMPILERS,
    EFFECTS,
    EXPORTS,
    GAIN_METHODS,
    OTHERWISE,
    PROPERTIES,
    VOCABULARIES,
    Gain,
    KernelWidth,
    Limit,
    Rules,
    SlowKernel,
)
from edgeai_runtime.delegates.table import DELEGATES
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import PRECISIONS

_SOURCED = ("precisions", "allowed", "denied", "conditions", "static_shapes", "constant_weights")


def read_rules(path: Path) -> Rules:
    """Read and check a file of rules.

    Raises:
        UsageError: not TOML, an unknown or missing key, a wrong type, or a list without a source; names file and key.
    """
    rules = parse_rules(read_document(path, what="file of rules"), where=str(path))
    if rules.id != path.stem:
        raise UsageError(f"{path}: id must be the name of the file, {path.stem!r}. Received: {rules.id!r}")
    return rules


def parse_rules(document: dict[str, Any], *, where: str) -> Rules:
    """Make rules of a document read from TOML; `where` opens every error message."""
    table = Table(document, where)
    table.check_keys(Rules, required=("id", "name", "applies_to", "vocabulary", "otherwise"))
    sources = table.check_sources(table.table("sources"), {key for key in _SOURCED if key in table})
    allowed = table.texts("allowed") if "allowed" in table else None
    denied = table.named_texts("denied")
    if not table.texts("applies_to"):
        raise UsageError(f"{where}: applies_to must name at least one delegate, compiler or export.")
    both = sorted(set(denied) & set(allowed or ()))
    if both:
        raise UsageError(f"{where}: {both[0]} is both allowed and denied.")
    return Rules(
        id=table.text("id"),
        name=table.text("name"),
        applies_to=table.choices("applies_to", (*DELEGATES, *COMPILERS, *EXPORTS)),
        vocabulary=table.choice("vocabulary", VOCABULARIES),
        otherwise=table.choice("otherwise", OTHERWISE),
        precisions=table.choices("precisions", PRECISIONS, PRECISIONS),
        static_shapes=table.flag("static_shapes"),
        constant_weights=table.flag("constant_weights"),
        allowed=allowed,
        denied=denied,
        conditions=table.named_texts("conditions"),
        limits=tuple(_limit(each) for each in table.tables("limits")),
        slow_kernels=tuple(_slow_kernel(each) for each in table.tables("slow_kernels")),
        kernel_widths=tuple(_kernel_width(each) for each in table.tables("kernel_widths")),
        gains=tuple(_gain(each) for each in table.tables("gains")),
        sources=sources,
        notes=table.texts("notes"),
    )


def _limit(table: Table) -> Limit:
    table.check_keys(Limit, required=("property", "source"))
    low, high = table.whole("min"), table.whole("max")
    if low is None and high is None:
        raise UsageError(f"{table.where}: min or max is missing.")
    if low is not None and high is not None and low > high:
        raise UsageError(f"{table.where}: min is above max. Received: {low} and {high}")
    return Limit(
        property=table.choice("property", PROPERTIES),
        source=table.text("source"),
        operators=table.texts("operators"),
        min=low,
        max=high,
        mend=table.text("mend", ""),
    )


def _slow_kernel(table: Table) -> SlowKernel:
    table.check_keys(SlowKernel, required=("reason", "source"))
    return SlowKernel(
        reason=table.text("reason"),
        source=table.text("source"),
        operators=table.texts("operators"),
        precisions=table.choices("precisions", PRECISIONS),
    )


def _kernel_width(table: Table) -> KernelWidth:
    table.check_keys(KernelWidth, required=("channels", "source"))
    channels = table.whole("channels")
    assert channels is not None
    return KernelWidth(
        channels=channels,
        source=table.text("source"),
        operators=table.texts("operators"),
        precisions=table.choices("precisions", PRECISIONS),
    )


def _gain(table: Table) -> Gain:
    table.check_keys(Gain, required=("method", "effect", "source"))
    pattern = table.text("pattern", "")
    if pattern and not re.fullmatch(r"[1-9]\d*:[1-9]\d*", pattern):
        raise UsageError(f"{table.where}: pattern must be like 2:4. Received: {pattern!r}")
    return Gain(
        method=table.choice("method", GAIN_METHODS),
        effect=table.choice("effect", EFFECTS),
        source=table.text("source"),
        pattern=pattern,
    )
