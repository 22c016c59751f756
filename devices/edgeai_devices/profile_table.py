"""The table of all profiles, as the documentation shows it, and the place in a page that it belongs in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeai_devices.profile import Profile
from edgeai_devices.profile_rules import Rules
from edgeai_runtime.errors import UsageError

BEGIN = "<!-- written by benchmarks/device_table.py: -->"
END = "<!-- end of what benchmarks/device_table.py writes -->"

_KINDS = {"computer": "Computers", "phone": "Phones", "microcontroller": "Microcontrollers", "npu": "Accelerators"}


def profile_tables(profiles: Iterable[Profile], rules: Iterable[Rules]) -> str:
    """Return Markdown: one table of profiles per kind, then the table of rules."""
    every = sorted(profiles, key=lambda profile: profile.id)
    parts = []
    for kind, title in _KINDS.items():
        rows = [_row(profile) for profile in every if profile.kind == kind]
        if rows:
            head = ("id", "device", "processor", "accelerator", "memory", "formats", "ways to hardware", "verified")
            parts += [f"### {title}", _table(head, rows)]
    rules_head = ("rules", "for", "operators", "limits", "widths in multiples of", "slow in", "gains from")
    parts += ["### Rules", _table(rules_head, [_rules_row(each) for each in sorted(rules, key=lambda each: each.id)])]
    return "\n\n".join(parts)


def replace_tables(page: str, tables: str) -> str:
    """Return `page` with `tables` between the two marks.

    Raises:
        UsageError: the page has not both marks, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise UsageError(f"The page must hold {BEGIN!r} and {END!r} once, in this order.")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def _row(profile: Profile) -> tuple[str, ...]:
    accelerators = [each.model for each in (profile.npu, profile.gpu) if each]
    ways = [*profile.delegates, *(f"compiler {each}" for each in profile.compilers)]
    ways += [f"export {each}" for each in profile.exports]
    return (
        f"`{profile.id}`",
        profile.name,
        profile.cpu.model,
        "; ".join(accelerators),
        profile.memory_in_words(),
        ", ".join(profile.formats),
        ", ".join(ways),
        profile.verified,
    )


def _rules_row(rules: Rules) -> tuple[str, ...]:
    operators = "any" if rules.allowed is None else str(len(rules.allowed))
    limits = [*(["fixed shapes"] if rules.static_shapes else []), *([f"{len(rules.limits)} more"] * bool(rules.limits))]
    return (
        f"`{rules.id}`",
        ", ".join(rules.applies_to),
        operators,
        ", ".join(limits),
        ", ".join(str(width.channels) for width in rules.kernel_widths),
        ", ".join(precision for slow in rules.slow_kernels for precision in slow.precisions),
        ", ".join(f"{gain.method} {gain.pattern}".strip() + f" ({gain.effect})" for gain in rules.gains),
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') or '-' for cell in line)} |" for line in lines)
