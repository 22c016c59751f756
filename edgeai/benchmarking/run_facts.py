"""What a run is, beside its times: artifact, engine, delegate, where its operations ran, size and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from edgeai.benchmarking.opened import Opened
from edgeai.benchmarking.result import Run
from edgeai.benchmarking.turns import Turns


def make_run(opened: Opened, turns: Turns, *, group: int) -> Run:
    """Return the run of what is open: where it ran, what it took, and what it is made of."""
    from edgeai_runtime.installed import engine_version

    report, target, variant = opened.model.placement, opened.target, opened.model.variant
    placement = {str(device): share for device, share in report.shares().items()}
    size, digest = _file_facts(opened)
    latency = turns.latency[target.label]
    return Run(
        artifact=target.artifact,
        label=target.label,
        format=opened.format(),
        precision=None if variant is None else variant.precision,
        engine=report.engine,
        engine_version=engine_version(report.engine) or None,
        delegate=report.delegate,
        placement=placement,
        ran_on=where_it_ran(placement),
        threads=target.threads,
        batch=opened.batch,
        emulated=opened.is_emulated,
        scenario="single_stream",
        latency_ms=latency,
        throughput_per_s=1e3 * opened.batch / latency.median,
        load_ms=opened.load_ms,
        first_ms=opened.first_ms,
        rss_mib=opened.rss_mib,
        outputs_match=opened.match,
        outputs_cosine=opened.cosine,
        calls=len(turns.samples[target.label].call_ms),
        group=group,
        rounds_ms=turns.rounds_ms(target.label),
        noise=turns.noise[target.label],
        size_bytes=size,
        digest=digest,
    )


def where_it_ran(placement: dict[str, float]) -> str:
    """Return the device that ran every operation, `mixed` when several did, `unknown` when nobody tells."""
    used = [device for device, share in placement.items() if share > 0]
    return used[0] if len(used) == 1 else "mixed" if used else "unknown"


def _file_facts(opened: Opened) -> tuple[int | None, str | None]:
    """Return size in bytes and digest of all files of what is loaded; of a bundle's variant from its manifest."""
    from edgeai_converters.sources.files import source_files

    variant, path = opened.model.variant, opened.target.path
    if variant is not None:
        facts = [(entry.size_bytes, entry.sha256) for entry in variant.files]
    elif path.is_file():
        files = (path,) if opened.is_pipeline else source_files(path)
        facts = [(file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    else:
        return None, None
    return sum(size for size, _ in facts), digest_of_files([digest for _, digest in facts])


def digest_of_files(digests: Sequence[str]) -> str | None:
    """Return the sha256 of an artifact: its file's, of several files that of theirs one after the other."""
    if len(digests) > 1:
        return hashlib.sha256("".join(digests).encode()).hexdigest()
    return digests[0] if digests else None
