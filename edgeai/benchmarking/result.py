"""What `edgeai.bench` gives back, and the JSON document it is stored as.

Times are milliseconds unless a name says otherwise (`_s` seconds, `_us` microseconds), memory MiB, shares fractions of
operations, rates per second. What was not asked for, or what the system does not tell, is `None`; nothing is guessed.
Parts that are long to measure are optional: phases, sustained run, profile per operation, energy, accuracy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

SCHEMA = "edgeai.bench/1"
"""Of the JSON document; a reader refuses what it does not know."""

Scenario = Literal["single_stream", "multi_stream", "server", "offline"]
Tier = Literal["quick", "normal", "submission"]
Verdict = Literal["faster", "slower", "no_difference"]
EMULATED = "its times say nothing of the hardware"
"""What is told of a run on a simulator or a software driver."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one call.

    Attributes:
        median, p90, p99: percentiles over all timed calls.
        median_ci95: 95 % interval of the median.
        p90_bound, p99_bound: upper bounds of the percentiles by MLPerf's early stopping (confidence 99 %); `None` when
            there were too few calls to say.
        mean, min, max: over all timed calls.
        histogram: counts per bin, for pictures; `edges_ms` has one value more than `counts`.
    """

    median: float
    p90: float
    p99: float
    median_ci95: tuple[float, float]
    p90_bound: float | None = None
    p99_bound: float | None = None
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    histogram: Histogram | None = None


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How often each latency came; the last bin holds everything above its lower edge."""

    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Phases:
    """The way from nothing to a warm model, each phase by itself: medians over `repeats` fresh processes.

    Attributes:
        process_start_ms: an interpreter that imports nothing, from its start to its first line.
        import_ms: importing the runtime and the engine.
        load_ms: reading and checking the file, without the engine's own work.
        compile_cold_ms: the engine makes its session with no compiled model kept from before.
        compile_cached_ms: the same, with one kept; `None` when this engine keeps none.
        first_ms: the first call.
        warm_ms: the median call once warm.
        spread: per phase, (least, greatest) over the repeats.
    """

    repeats: int
    process_start_ms: float
    import_ms: float
    load_ms: float
    compile_cold_ms: float
    compile_cached_ms: float | None
    first_ms: float
    warm_ms: float
    spread: dict[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class SustainedPoint:
    """One window of a sustained run, `at_s` seconds after its begin."""

    at_s: float
    median_ms: float
    p99_ms: float
    calls: int
    clock_mhz: float | None
    celsius: float | None
    rss_mib: float | None


@dataclass(frozen=True, kw_only=True)
class Sustained:
    """A run of minutes.

    Attributes:
        drift: latency of the last third over that of the first third; `drift_ci95` its interval.
        throttled: whether it became slower beyond chance while the clock fell or the temperature rose; `None` where
            the system tells neither.
        reason: the verdict in words.
    """

    seconds: float
    points: tuple[SustainedPoint, ...]
    drift: float
    drift_ci95: tuple[float, float]
    throttled: bool | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident memory of a process that does nothing but run this artifact, and its growth in time `[seconds, MiB]`."""

    before_mib: float | None
    loaded_mib: float | None
    steady_mib: float | None
    peak_mib: float | None
    curve: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy of one call; `meter` says which meter told it (`unknown`: there is none, or it cannot be read)."""

    meter: str
    joules_per_call: float | None = None
    idle_watts: float | None = None
    busy_watts: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ScenarioOutcome:
    """What a scenario gave, by MLPerf's meaning.

    Attributes:
        metric: `p90_latency_ms` (single_stream), `p99_latency_ms` (multi_stream), `queries_per_s` (server: the highest
            rate of arrivals within the bound), `samples_per_s` (offline).
        value: of the metric.
        bound: by early stopping, the value that holds with 99 % confidence; `None` when there were too few queries.
        valid: whether the tier's least duration and number of queries were met, and in server the latency bound.
        queries, samples, seconds: what was run.
        driver: `edgeai` or `loadgen`.
        detail: more figures by name.
    """

    scenario: Scenario
    tier: Tier
    metric: str
    value: float
    bound: float | None
    valid: bool
    reason: str
    queries: int
    samples: int
    seconds: float
    driver: str = "edgeai"
    detail: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class OperatorTime:
    """Time of one operation in one call.

    Attributes:
        name: as the engine names it; `op` the operator's type in the engine's words.
        device: where it ran; `unknown` when the engine does not say.
        ms: mean of a call; `share` of the sum over all operations.
        start_ms: after the begin of the call, where the engine tells; else as if one followed the other.
        kernel: the engine's own word for the code that ran.
    """

    name: str
    op: str
    device: str
    ms: float
    share: float
    start_ms: float
    kernel: str = ""


@dataclass(frozen=True, kw_only=True)
class OperatorProfile:
    """Time per operation, in one form for every engine.

    Attributes:
        method: `engine` (its own profiler), or `alone` (each operation measured as an artifact of its own).
        calls: calls averaged.
        whole_ms: a call with profiling on; `sum_ms` the operations added up; the difference is the engine's own work.
        overhead: time of a call with profiling on divided by one without; `None` when not measured.
        note: what a reader must know.
    """

    method: Literal["engine", "alone"]
    calls: int
    whole_ms: float
    sum_ms: float
    overhead: float | None
    operators: tuple[OperatorTime, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """The score on data given, with its 95 % interval."""

    metric: str
    score: float
    ci95: tuple[float, float] | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Whether the machine was quiet enough for this run to be believed.

    Attributes:
        noisy: what the user is told; `reason` says why.
        spread: half the width of the median's 95 % interval over the median.
        load: what other processes took of the processor, in cores; `None` where the system does not tell.
        repeats: how often the run was made again because it was noisy.
        calm: share of the rounds in which the machine was undisturbed, by the yardsticks of this session.
    """

    noisy: bool
    reason: str
    spread: float
    load: float | None
    repeats: int = 0
    calm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One artifact, on one delegate, with one number of threads and one batch, measured.

    Attributes:
        artifact: the path; for a variant of a bundle `path#id`.
        label: `artifact`, and what tells it from the other runs (delegate, threads, batch): unique in the document.
        ran_on: `cpu`, `gpu`, `npu` or `mixed`, by where its operations ran, never by what was asked for; `unknown`.
        placement: share of operations per device.
        emulated: that device is a simulator or a software driver: it proves function, its times say nothing.
        throughput_per_s: samples per second of one caller, at the median call.
        load_ms: opening the artifact, its engine being imported already.
        first_ms: the first call.
        rss_mib: growth of this process's resident memory by loading and the first call; `None` where
            the system does not tell.
        outputs_match: for a variant, whether the golden outputs came back within its tolerance; for a bare artifact,
            whether the outputs agree with the first artifact's (cosine 0.99) or with the reference given; `None` when
            there is nothing to compare with.
        outputs_cosine: for a bare artifact, the smallest cosine over the outputs compared.
        calls: number of calls measured.
        rounds_ms: the median call of each round; runs that were measured together have as many (`group`), and belong
            to each other round by round: what a later comparison needs.
        size_bytes: of the artifact's files.
        digest: sha256 of the artifact's file; of several, that of their digests one after the other.
    """

    artifact: str
    format: str
    engine: str
    delegate: str
    placement: dict[str, float]
    threads: int
    scenario: str
    latency_ms: Latency
    throughput_per_s: float
    load_ms: float
    first_ms: float
    rss_mib: float | None
    outputs_match: bool | None
    outputs_cosine: float | None
    calls: int
    label: str = ""
    ran_on: str = "unknown"
    batch: int = 1
    emulated: bool = False
    precision: str | None = None
    size_bytes: int | None = None
    digest: str | None = None
    engine_version: str | None = None
    group: int = 0
    rounds_ms: tuple[float, ...] = ()
    outcome: ScenarioOutcome | None = None
    phases: Phases | None = None
    memory: Memory | None = None
    sustained: Sustained | None = None
    energy: Energy | None = None
    operators: OperatorProfile | None = None
    accuracy: Accuracy | None = None
    noise: Noise | None = None


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """`ratio` is the time of `a` divided by that of `b` (their labels); `faster` means that `a` is, beyond chance.

    Attributes:
        how: `interleaved` (measured together, round by round) or `stored` (two files, made at different times).
        disturbed: of stored results: one of them was made on a disturbed machine and holds nothing calm to compare, so
            the ratio proves nothing, whatever its interval says.
    """

    a: str
    b: str
    ratio: float
    ci95: tuple[float, float]
    verdict: Verdict
    how: Literal["interleaved", "stored"] = "interleaved"
    note: str = ""
    disturbed: bool = False


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """How fast a fixed piece of work ran (`edgeai.benchmarking.yardstick`) while the runs of one group were measured.

    Attributes:
        group: of the runs it was called in turns with.
        name: which work it is; times under two names are not compared.
        rounds_ms: its median call in each round; the rounds are those of the runs.
    """

    group: int
    name: str
    rounds_ms: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A run that could not be made, or a delegate that is not on this machine (its name), and why."""

    artifact: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """What was measured, on which machine; comparisons are against the first run.

    Attributes:
        machine: processor, governor, load, system (`edgeai_runtime.bench.machine`).
        yardsticks: each of them, per group of runs.
        tools: versions of edgeai, Python, numpy and the engines used.
        settings: what was asked for, so that the run can be repeated.
        created: when, ISO 8601 in UTC.
    """

    machine: dict[str, str]
    runs: tuple[Run, ...]
    comparisons: tuple[PairComparison, ...]
    skipped: tuple[Skipped, ...] = ()
    schema: str = SCHEMA
    tools: dict[str, str] | None = None
    settings: dict[str, Any] | None = None
    created: str = ""
    yardsticks: tuple[Yardstick, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document that `edgeai bench --json` prints and `edgeai report` reads."""
        return asdict(self)
