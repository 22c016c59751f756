"""`edgeai prune` in words: what is written for people, and how a pattern is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer

from edgeai_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeai_converters.pruning import Pruning


def parse_pattern(text: str) -> tuple[int, int]:
    """Return `2:4` as `(2, 4)`: of 4 neighbours 2 stay.

    Raises:
        UsageError: it is written another way.
    """
    match = re.fullmatch(r"\s*([0-9]+)\s*:\s*([0-9]+)\s*", text)
    if match is None:
        raise UsageError(f"--pattern takes two numbers, such as 2:4. Received: {text!r}")
    return int(match[1]), int(match[2])


def tell(done: Pruning) -> None:
    """Print what came of it."""
    from edgeai.cli.output import bytes_in_words, milliseconds_in_words

    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    pruned, claim, engine = done.pruned, done.pruned.claim, done.pruned.engine
    before, after = pruned.before, pruned.after
    typer.echo(
        f"{done.artifact}: {_what_went(pruned.told)}, parameters {before.parameters} → {after.parameters}, "
        f"{bytes_in_words(before.size_bytes)} → {bytes_in_words(after.size_bytes)} "
        f"(packed {bytes_in_words(before.packed_bytes)} → {bytes_in_words(after.packed_bytes)})"
    )
    if before.macs and after.macs is not None:
        typer.echo(f"multiply-accumulates: {before.macs} → {after.macs} ({after.macs / before.macs:.0%})")
    _tell_target(pruned.told, pruned.target_verdict)
    low, high = (100 * bound for bound in claim.drop_ci95)
    typer.echo(
        f"{claim.metric} on {claim.n} held-out samples: {claim.source_score:.4f} → {claim.score:.4f}; lost "
        f"{100 * claim.drop:.2f} points, with 95 % confidence between {low:.2f} and {high:.2f}"
        + (f" ({claim.verdict}, allowed {100 * claim.max_drop:.2f})" if claim.max_drop is not None else "")
    )
    low, high = pruned.latency_ratio_ci95
    typer.echo(
        f"latency in {done.spec.engine_format} ({done.spec.precision}): "
        f"{milliseconds_in_words(pruned.measurement.latency_median_ms)}, {pruned.latency_ratio:.2f} of the whole "
        f"network's, between {low:.2f} and {high:.2f} ({pruned.verdict}); size there {engine.size_ratio:.2f}"
    )
    if pruned.flash is not None:
        typer.echo(
            f"flash on {pruned.flash.accelerator}, as compiled by Vela: {bytes_in_words(pruned.flash.whole_bytes)} → "
            f"{bytes_in_words(pruned.flash.smaller_bytes)}"
        )


def _what_went(told: Mapping[str, Any]) -> str:
    if "blocks" in told:
        return f"{len(told['blocks']['removed'])} of {len(told['blocks']['found'])} blocks taken out"
    if "products" in told:
        return f"{len(told['products']['layers'])} weights became products"
    if "weights" in told:
        return f"values of {len(told['weights'])} weights changed"
    return f"{told['share']:.1%} of the channels cut"


def _tell_target(told: Mapping[str, Any], verdict: str | None) -> None:
    """Print the table of layers, and how the target was come by."""
    if verdict is None:
        return
    for layer in told["layers"]:
        (a, b), (c, d), ms = layer["inputs"].values(), layer["outputs"].values(), layer["ms"]
        typer.echo(f"  {layer['layer']}: {a}→{c} becomes {b}→{d}, {ms['before']:.4f} → {ms['after']:.4f} ms")
    target = told["target"]
    back = f", taken back: {', '.join(target['taken_back'])}" if target["taken_back"] else ""
    typer.echo(
        f"target: {target['kind']} {target['asked']:.1%}; predicted {target['predicted']:.1%}, measured "
        f"{target['measured']:.1%} after {len(target['trials'])} proposals ({verdict}){back}"
    )
