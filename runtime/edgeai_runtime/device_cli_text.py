"""Show the documents of the device's command line to people: a few lines each, no colours, no libraries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def as_text(verb: str, document: dict[str, Any]) -> str:
    """Return the document of `verb` (`run`, `verify`, `bench`, `devices`, `warm`) as lines of text."""
    show = {"run": _run, "verify": _verify, "bench": _bench, "devices": _devices, "warm": _warm}[verb]
    return "\n".join(show(document))


def _run(document: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {_cut(str(value), 400)}" for name, value in document["outputs"].items()]
    placement = document["placement"]
    shares = ", ".join(f"{device} {share:.0%}" for device, share in placement.items() if device != "delegate" and share)
    ran = f"ran on {placement['delegate']} ({shares}) in {document['latency_ms']:.3g} ms"
    return [*lines, *_attempts(document["attempts"]), ran]


def _attempts(attempts: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for what was not used and why, and for the remedy with which the last one was."""
    lines = []
    for one in attempts:
        name = f"{one['delegate']} with {one['remedy']}" if one["remedy"] else one["delegate"]
        if one["outcome"] != "used" or one["remedy"]:
            lines.append(f"{one['outcome']} {name}: {one['reason']}")
    return lines


def _verify(document: dict[str, Any]) -> list[str]:
    return [*_checks(document), "the bundle is good" if document["ok"] else "the bundle is NOT good"]


def _warm(document: dict[str, Any]) -> list[str]:
    lines = _checks(document)
    placement = document["placement"]
    if placement is None:
        return [*lines, "it can NOT be used here"]
    rows = [
        (
            one["delegate"],
            one["variant"],
            str(one["threads"] or ""),
            "–" if one["median_ms"] is None else f"{one['median_ms']:.4g}",
            one["how"],
        )
        for one in placement["measured"]
    ]
    table = _table([("delegate", "variant", "threads", "median ms", ""), *rows]) if rows else []
    chosen = f"will run on {placement['delegate']} with {placement['threads']} threads"
    return [*lines, *table, *_attempts(placement["attempts"]), chosen]


def _checks(document: dict[str, Any]) -> list[str]:
    """Return a line for each check, and for what is in quarantine."""
    lines = [f"{'ok  ' if check['ok'] else 'FAIL'} {check['name']}: {check['detail']}" for check in document["checks"]]
    return lines + [
        f"in quarantine since {one['since']} UTC: {one['variant']} on {one['delegate']} (verify --retry tries again)"
        for one in document["quarantine"]
    ]


def _bench(document: dict[str, Any]) -> list[str]:
    rows = [
        [
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
        ]
    ]
    for run in document["runs"]:
        latency = run["latency_ms"]
        low, high = latency["median_ci95"]
        rows.append(
            [
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
            ]
        )
    comparisons = []
    for pair in document["comparisons"]:
        low, high = pair["ci95"]
        times = f"{pair['ratio']:.3f}× its time ({low:.3f} – {high:.3f})"
        verdict = pair["verdict"]
        words = "no different from" if verdict == "no_difference" else f"{verdict} than"
        comparisons.append(f"{pair['a']} is {words} {pair['b']}: {times}")
    machine = document["machine"]
    outcomes = [
        f"{run['artifact']}, {one['scenario']}: {one['metric']} {one['value']:.4g}"
        f" ({'' if one['valid'] else 'NOT '}valid: {one['reason']})"
        for run in document["runs"]
        if (one := run.get("outcome"))
    ]
    return [f"{machine['cpu']}, {machine['usable_cores']} cores", *_table(rows), *comparisons, *outcomes]


def _ran_on(run: dict[str, Any]) -> str:
    shares = {device: share for device, share in run["placement"].items() if share}
    told = ", ".join(device if share == 1 else f"{share:.0%} {device}" for device, share in shares.items())
    return (told or "unknown") + (", simulated" if run["emulated"] else "")


def _devices(document: dict[str, Any]) -> list[str]:
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
            _cut((one["reason"] or ", ".join(filter(None, (one["driver"], *one["devices"])))).partition("\n")[0], 140),
        )
        for one in document["delegates"]
    ]
    head = [f"{machine['cpu']}, {machine['usable_cores']} of {machine['cores']} cores, {machine['os']}", machine["isa"]]
    return [
        *head,
        "",
        *_table([("engine", "package", "version", ""), *engines]),
        "",
        *_table([("delegate", "device", "present", "tried on", ""), *delegates]),
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
