"""Hold what was measured against the budget. Pure decisions on data: nothing is run here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeai_converters.search.candidate import Limit
from edgeai_converters.spec import Budget
from edgeai_devices.fit_report import FitReport
from edgeai_runtime.bench.statistics import SAME_FILE_MARGIN
from edgeai_runtime.manifest import Certificate, Measurement, Precision


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why a candidate cannot be accepted; `excess` (0 or more) says by how much it misses, relative to the limit."""

    limit: Limit
    reason: str
    excess: float


def reject_for_cost(
    *, precision: Precision, size_bytes: int, measurement: Measurement, budget: Budget
) -> Rejection | None:
    """Return the broken limits on size, latency or memory as one rejection, or `None`.

    The user's own limits come before the promise not to be slower than float; `excess` is that of the limit missed
    by most.
    """
    broken = [
        *_broken_budgets(size_bytes=size_bytes, measurement=measurement, budget=budget),
        *(_slower(measurement) if precision != "float32" and budget.judge_times else ()),
    ]
    if not broken:
        return None
    return Rejection(
        limit=broken[0].limit,
        reason="; ".join(one.reason for one in broken),
        excess=max(one.excess for one in broken),
    )


def reject_for_device(report: FitReport) -> Rejection | None:
    """Return a rejection when an artifact does not fit the device, or `None`; flash is a limit on the size already."""
    failed = [check for check in report.failed if check.name != "flash"]
    if not failed:
        return None
    over = [
        check.value / check.limit - 1
        for check in failed
        if isinstance(check.value, int) and isinstance(check.limit, int) and check.value > check.limit > 0
    ]
    return Rejection(
        limit="device",
        reason=f"does not fit {report.device}: {'; '.join(check.detail for check in failed)}",
        excess=max(over, default=1.0),
    )


def _slower(measurement: Measurement) -> Iterator[Rejection]:
    slowest_speedup = measurement.speedup_ci95[1]
    if slowest_speedup * (1 + SAME_FILE_MARGIN) < 1:
        low, high = (1 / bound for bound in reversed(measurement.speedup_ci95))
        yield Rejection(
            limit="slower_than_float",
            reason=f"slower than float in {measurement.engine}: {1 / measurement.speedup_vs_float:.2f} times its "
            f"latency (95 % interval {low:.2f} to {high:.2f})",
            excess=1 / measurement.speedup_vs_float - 1,
        )


def _broken_budgets(*, size_bytes: int, measurement: Measurement, budget: Budget) -> Iterator[Rejection]:
    checks: tuple[tuple[Limit, str, float | None, float | None, str], ...] = (
        ("max_size", "size", size_bytes, budget.max_size_bytes, " bytes"),
        ("max_latency", "median latency", measurement.latency_median_ms, budget.max_latency_ms, " ms"),
        ("max_latency", "latency against float", 1 / measurement.speedup_vs_float, budget.max_latency_ratio, ""),
        ("max_memory", "peak memory", measurement.peak_memory_mib, budget.max_memory_mib, " MiB"),
    )
    for limit, what, value, most, unit in checks:
        if limit != "max_size" and not budget.judge_times:
            continue
        if most is not None and value is not None and value > most:
            yield Rejection(
                limit=limit,
                reason=f"{what} {_shown(value)}{unit} is over the limit of {_shown(most)}{unit}",
                excess=value / most - 1 if most else float("inf"),
            )


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def reject_on_search_split(certificate: Certificate, budget: Budget) -> Rejection | None:
    """Return a rejection when even the lower bound of the drop on the search split is over the budget.

    The point estimate is not enough: on a few hundred samples it throws away good candidates by chance, and those
    that pass here still have to be certified.
    """
    low = certificate.drop_ci95[0]
    if budget.max_drop is None or low <= budget.max_drop:
        return None
    return _over_drop(certificate, budget.max_drop)


def reject_on_certificate(certificate: Certificate, budget: Budget) -> Rejection | None:
    """Return a rejection when the certificate breaks the budget, or, under `strict`, when it does not prove it."""
    if budget.max_drop is None:
        return None
    if certificate.verdict == "violated":
        return _over_drop(certificate, budget.max_drop)
    if budget.strict and certificate.verdict != "certified":
        needed = f"; about {certificate.samples_needed} samples would do" if certificate.samples_needed else ""
        return Rejection(
            limit="strict",
            reason=f"not certified on {certificate.n} samples: upper bound of the drop {certificate.drop_ci95[1]:.2%} "
            f"is over {budget.max_drop:.2%}{needed}",
            excess=max(0.0, certificate.drop_ci95[1] - budget.max_drop),
        )
    return None


def _over_drop(certificate: Certificate, max_drop: float) -> Rejection:
    low, high = certificate.drop_ci95
    return Rejection(
        limit="max_drop",
        reason=f"drop {certificate.drop:.2%} (95 % interval {low:.2%} to {high:.2%}) on the {certificate.split} split "
        f"is over {max_drop:.2%}",
        excess=(certificate.drop - max_drop) / max(max_drop, 0.001),
    )
