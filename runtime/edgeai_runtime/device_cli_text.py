"""Show the documents of the device's command line to people: a few lines each, no colours, no libraries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def as_text(verb: str, document: dict[str, Any]) -> str:
    """Return the document of `verb` (`run`, `verify`, `bench`, `devices`, `warm`) as lines of text."""
    return {"run": _run, "verify": _verify, "bench": _bench, "devices": _devices, "warm": _warm}[verb](document)


def _run(document: dict[str, Any]) -> str:
    lines = [f"{name}: {_short(value)}" for name, value in document["outputs"].items()]
    placement = document["placement"]
    shares = ", ".join(f"{device} {share:.0%}" for device, share in placement.items() if device != "delegate" and share)
    ran = f"ran on {placement['delegate']} ({shares}) in {document['latency_ms']:.3g} ms"
    return "\n".join([*lines, *_attempts(document["attempts"]), ran])


def _attempts(attempts: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for what was not used and why, and for the remedy with which the last one was."""
    lines = []
    for one in attempts:
        name = f"{one['delegate']} with {one['remedy']}" if one["remedy"] else one["delegate"]
        if one["outcome"] != "used" or one["remedy"]:
            lines.append(f"{one['outcome']} {name}: {one['reason']}")
    return lines


def _verify(document: dict[str, Any]) -> str:
    lines = [f"{'ok  ' if check['ok'] else 'FAIL'} {check['name']}: {check['detail']}" for check in document["checks"]]
    return "\n".join(
        [*lines, *_quarantine(document), "the bundle is good" if document["ok"] else "the bundle is NOT good"]
    )


def _warm(document: dict[str, Any]) -> str:
    lines = [f"{'ok  ' if check['ok'] else 'FAIL'} {check['name']}: {check['detail']}" for check in document["checks"]]
    placement = document["placement"]
    if placement is None:
        return "\n".join([*lines, *_quarantine(document), "it can NOT be used here"])
    rows = [
        (one["delegate"], one["variant"], str(one["threads"] or ""), _ms(one["median_ms"]), one["how"])
        for one in placement["measured"]
    ]
    table = _table([("delegate", "variant", "threads", "median ms", ""), *rows]) if rows else []
    chosen = f"will run on {placement['delegate']} with {placement['threads']} threads"
    return "\n".join([*lines, *_quarantine(document), *table, *_attempts(placement["attempts"]), chosen])


def _quarantine(document: dict[str, Any]) -> list[str]:
    return [
        f"in quarantine since {one['since']} UTC: {one['variant']} on {one['delegate']} (verify --retry tries again)"
        for one in document["quarantine"]
    ]


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _bench(document: dict[str, Any]) -> str:
    rows = [
        (
            "artifact",
            "delegate",
            "ran on",
            "batch",
            "median ms",
            "95 % interval",
            "p90 ms",
            "load ms",
            "first ms",
            "MiB",
            "golden",
        )
    ]
    for run in document["runs"]:
        latency = run["latency_ms"]
        low, high = latency["median_ci95"]
        rows.append(
            (
                run["artifact"],
                run["delegate"],
                _ran_on(run),
                str(run["batch"]),
                f"{latency['median']:.4g}",
                f"{low:.4g} – {high:.4g}",
                f"{latency['p90']:.4g}",
                f"{run['load_ms']:.3g}",
                f"{run['first_ms']:.3g}",
                "?" if run["rss_mib"] is None else f"{run['rss_mib']:.1f}",
                {None: "–", True: "match", False: "DIFFER"}[run["outputs_match"]],
            )
        )
    words = {"faster": "faster than", "slower": "slower than", "no_difference": "no different from"}
    comparisons = []
    for pair in document["comparisons"]:
        low, high = pair["ci95"]
        times = f"{pair['ratio']:.3f}× its time ({low:.3f} – {high:.3f})"
        comparisons.append(f"{pair['a']} is {words[pair['verdict']]} {pair['b']}: {times}")
    machine = document["machine"]
    outcomes = [
        f"{run['artifact']}, {one['scenario']}: {one['metric']} {one['value']:.4g}"
        f" ({'' if one['valid'] else 'NOT '}valid: {one['reason']})"
        for run in document["runs"]
        if (one := run.get("outcome"))
    ]
    return "\n".join([f"{machine['cpu']}, {machine['usable_cores']} cores", *_table(rows), *comparisons, *outcomes])


def _ran_on(run: dict[str, Any]) -> str:
    shares = {device: share for device, share in run["placement"].items() if share}
    told = ", ".join(device if share == 1 else f"{share:.0%} {device}" for device, share in shares.items())
    return (told or "unknown") + (", simulated" if run["emulated"] else "")


def _devices(document: dict[str, Any]) -> str:
    machine = document["machine"]
    engines = [
        (one["name"], one["package"], one["version"] or "–", "" if one["present"] else one["install"])
        for one in document["engines"]
    ]
    delegates = [
        (
            one["name"],
            one["device"],
            "no" if not one["present"] else "simulated" if one["emulated"] else "yes",
            one["verified"],
            _first_line(one["reason"] or ", ".join(filter(None, (one["driver"], *one["devices"])))),
        )
        for one in document["delegates"]
    ]
    head = [f"{machine['cpu']}, {machine['usable_cores']} of {machine['cores']} cores, {machine['os']}", machine["isa"]]
    return "\n".join(
        [
            *head,
            "",
            *_table([("engine", "package", "version", ""), *engines]),
            "",
            *_table([("delegate", "device", "present", "tried on", ""), *delegates]),
        ]
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= 140 else f"{line[:139]}…"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 400 else f"{text[:400]} …"
