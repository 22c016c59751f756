"""What `python -m edgeai_runtime bench … --json` printed on a device, made into a result of `edgeai bench`.

Nothing is guessed: what the device did not tell is `None`, as where it was not measured here. What follows from what it
told is worked out here, since a workstation has the code for it: where a model ran from its placement, one digest from
those of its files, and whether the device was quiet from its rounds and from the load of other processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeai.benchmarking.noise import judge_noise
from edgeai.benchmarking.record_check import check_record
from edgeai.benchmarking.result import EMULATED, SCHEMA, Latency, ScenarioOutcome, Verdict
from edgeai.benchmarking.run_facts import digest_of_files, where_it_ran
from edgeai.benchmarking.targets import artifact_name
from edgeai_runtime.device_cli_bench import SCHEMA as DEVICE_SCHEMA
from edgeai_runtime.errors import DataError

_FAMILY = DEVICE_SCHEMA.rpartition("/")[0]
_HINT = "It is written by `python -m edgeai_runtime bench … --json`; copy the file again, or measure again."


@dataclass(frozen=True, kw_only=True)
class DeviceLatency(Latency):
    """Milliseconds of one call; `n` is the number of calls. The histogram stands beside it, with the run."""

    n: int


@dataclass(frozen=True, kw_only=True)
class DeviceOutcome(ScenarioOutcome):
    """What a scenario gave; `batch`: samples of each of its calls."""

    batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceRun:
    """One artifact as the device measured it; what is not described is as in `result.Run`.

    Attributes:
        artifact: the path on the device, with `#id` where every variant of a bundle was measured.
        variant: of a bundle, which one was.
        files: sha256 and size in bytes of each file that was loaded.
        engine_version: empty where the device could not tell.
        histogram: edges in milliseconds, one more than the counts that follow.
        load: what other processes took of the processors while it was measured, in cores.
    """

    artifact: str
    format: str
    engine: str
    delegate: str
    placement: dict[str, float]
    threads: int
    scenario: str
    batch: int
    load_ms: float
    first_ms: float
    latency_ms: DeviceLatency
    throughput_per_s: float
    variant: str | None = None
    precision: str | None = None
    files: tuple[tuple[str, int], ...] = ()
    engine_version: str = ""
    emulated: bool = False
    rss_mib: float | None = None
    outputs_match: bool | None = None
    rounds_ms: tuple[float, ...] = ()
    histogram: tuple[tuple[float, ...], tuple[int, ...]] | None = None
    load: float | None = None
    outcome: DeviceOutcome | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceComparison:
    """Two runs measured in turns, by the names of their artifacts; as in `result.PairComparison`."""

    a: str
    b: str
    ratio: float
    ci95: tuple[float, float]
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class DeviceReport:
    """The whole document of a device; `yardsticks`: of each its median call in each round."""

    schema: str
    machine: dict[str, str]
    runs: tuple[DeviceRun, ...]
    comparisons: tuple[DeviceComparison, ...] = ()
    tools: dict[str, str] | None = None
    created: str = ""
    yardsticks: dict[str, tuple[float, ...]] | None = None


def is_from_device(document: Any) -> bool:
    """Say whether it is what a device measured, of whatever version."""
    return isinstance(document, Mapping) and str(document.get("schema")).startswith(f"{_FAMILY}/")


def from_device(document: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return the document of `edgeai bench` for what a device measured.

    Every artifact of a bundle is called `path#variant`, as at the desk, so that the two are matched.

    Args:
        document: what the device printed; it is not changed.
        where: how a message calls it.

    Raises:
        DataError: it is of a version that is not read here, incomplete, or of wrong types.
    """
    if document["schema"] != DEVICE_SCHEMA:
        raise DataError(
            f"{where} was measured by another version of edgeai-runtime: its schema is {document['schema']}, "
            f"this version reads {DEVICE_SCHEMA}.",
            hint="Bring edgeai and the edgeai-runtime of the device to one version, and measure again.",
        )
    told = check_record(document, DeviceReport, where=where, hint=_HINT)
    names = {run["artifact"]: _name(run) for run in told["runs"]}
    cores = told["machine"].get("cores", "")
    sticks = told["yardsticks"] or {}
    for run in [one for one in told["runs"] if one["rounds_ms"]]:
        if any(len(each) != len(run["rounds_ms"]) or min(each, default=0.0) <= 0 for each in sticks.values()):
            raise DataError(f"{where}: the yardsticks' rounds are not those of {run['artifact']}.", hint=_HINT)
    runs = [_run(run, sticks, cores=int(cores) if cores.isdecimal() else None) for run in told["runs"]]
    return {
        "schema": SCHEMA,
        "machine": told["machine"],
        "runs": runs,
        "comparisons": [_comparison(each, names, runs) for each in told["comparisons"]],
        "skipped": [],
        "tools": _tools(told, runs),
        "settings": None,
        "created": told["created"],
        "yardsticks": [{"group": 0, "name": name, "rounds_ms": rounds} for name, rounds in sticks.items()],
    }


def _name(run: Mapping[str, Any]) -> str:
    path, variant = run["artifact"], run["variant"]
    return str(path) if variant is None or path.endswith(f"#{variant}") else artifact_name(path, variant)


def _run(run: Mapping[str, Any], yardsticks_ms: Mapping[str, Any], *, cores: int | None) -> dict[str, Any]:
    """Return the run as `result.Run` has it; `cores`: of the device, without which its load says nothing."""
    noise = None
    if run["rounds_ms"]:
        noise = vars(
            judge_noise(
                run["rounds_ms"], load_after=run["load"] if cores else None, cores=cores, yardsticks_ms=yardsticks_ms
            )
        )
    same = ("format", "precision", "engine", "delegate", "placement", "threads", "batch", "emulated", "scenario")
    measured = ("throughput_per_s", "load_ms", "first_ms", "rss_mib", "outputs_match", "rounds_ms")
    latency, outcome, files = dict(run["latency_ms"]), run["outcome"], run["files"]
    calls = latency.pop("n")
    if run["histogram"]:
        latency["histogram"] = dict(zip(("edges_ms", "counts"), run["histogram"], strict=True))
    return {
        **{key: run[key] for key in same + measured},
        "artifact": _name(run),
        "label": _name(run),
        "ran_on": where_it_ran(run["placement"]),
        "engine_version": run["engine_version"] or None,
        "latency_ms": latency,
        "outputs_cosine": None,
        "calls": calls,
        "size_bytes": sum(size for _, size in files) if files else None,
        "digest": digest_of_files([sha256 for sha256, _ in files]),
        "noise": noise,
        **({} if outcome is None else {"scenario": outcome["scenario"], "outcome": _outcome(outcome)}),
    }


def _outcome(outcome: Mapping[str, Any]) -> dict[str, Any]:
    batch = {} if outcome["batch"] is None else {"batch": float(outcome["batch"])}
    kept = {key: value for key, value in outcome.items() if key != "batch"}
    return {**kept, "detail": {**(outcome["detail"] or {}), **batch}}


def _comparison(each: Mapping[str, Any], names: Mapping[str, str], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sides = {side: names.get(each[side], each[side]) for side in ("a", "b")}
    simulated = dict.fromkeys(run["delegate"] for run in runs if run["emulated"] and run["label"] in sides.values())
    return {**each, **sides, "note": "; ".join(f"{name} is simulated there: {EMULATED}" for name in simulated)}


def _tools(told: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    python = told["machine"].get("python")
    tools = {**(told["tools"] or {}), **({"python": python} if python else {})}
    return tools | {run["engine"]: run["engine_version"] for run in runs if run["engine_version"]}
